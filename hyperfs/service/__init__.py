"""What hyperfs has to do with systemd: telling it how a service is, and setting up units. Knows nothing of drives."""
