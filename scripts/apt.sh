# Sourced by the scripts that may install Debian packages: as root, or through sudo where that asks for no password.

as_root=()

can_apt() {
  command -v apt-get >/dev/null || return 1
  if [[ "$(id -u)" == 0 ]]; then return 0; fi
  as_root=(sudo -n)
  command -v sudo >/dev/null && sudo -n true 2>/dev/null
}

# A fresh machine often updates itself in its first minutes: wait for whoever has the lock.
apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

# The timeout above is not for the lock of the package lists.
apt_update() {
  local tries=60 said
  until said="$(apt_get update 2>&1)"; do
    if [[ "$said" != *"ould not get lock"* ]] || ((--tries == 0)); then
      echo "$said" >&2
      return 1
    fi
    sleep 5
  done
}
