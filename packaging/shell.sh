# Shared by the scripts beside it, which source it: where things are, what to say, which drives are mounted.
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
