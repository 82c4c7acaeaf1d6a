# Shared by the scripts beside it, which source it: where things are, what to say, which drives are mounted, how
# system packages are installed.
# shellcheck shell=bash

# The checkout, with symlinks resolved: .venv holds absolute paths.
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
# NUL-ended entries of the drives that packaging/mount mounted: "new:PATH" where it made the folder, else "old:PATH".
# shellcheck disable=SC2034  # used by the scripts that source this
drives=$venv/drives

say() { printf '%s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
  exit 1
}

# Mount points of this user's hyperfs drives, NUL-ended. The kernel writes blanks and the like as \040.
mounted_drives() {
  local target options point mine
  mine="user_id=$(id -u),"
  while read -r _ _ _ _ target options; do
    case "$options" in
      *" - fuse.hyperfs "*"$mine"*) ;;
      *) continue ;;
    esac
    printf -v point '%b' "${target//\\/\\0}"
    printf '%s\0' "$point"
  done </proc/self/mountinfo
}

is_mounted() {
  local point
  while IFS= read -r -d '' point; do
    [[ $point == "$1" ]] && return 0
  done < <(mounted_drives)
  return 1
}

# A mount whose process has died answers what the kernel has to ask it with an error (not a plain stat, which its
# cache answers); one that hangs counts as dead too.
answers() { timeout 10 stat --file-system -- "$1" >/dev/null 2>&1; }

has() { command -v "$1" >/dev/null 2>&1; }

# Prints how to become root: nothing to do for root itself, else sudo. Fails where neither is possible.
as_root() {
  if [[ $(id -u) == 0 ]]; then
    say env
  elif has sudo && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
    say sudo
  else
    return 1
  fi
}

install_packages() {
  local become output
  has apt-get || fail "please install these first (Debian's names; there is no apt-get here): $*"
  become=$(as_root) || fail "these system packages are missing, and installing them needs root: $*
Have somebody run this, then try again:
    apt-get install $*"
  say "Installing system packages: $*"
  # A stale or empty list of packages is usual on a fresh machine; without network the cache may still do.
  "$become" apt-get -qq update || true
  output=$("$become" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
    -o DPkg::Lock::Timeout=120 install "$@" 2>&1) || fail "the package manager could not install $*:
$output"
}
