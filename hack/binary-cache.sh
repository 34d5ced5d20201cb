# Sourced by the scripts that make binaries for the lab: where these are kept, one run at a time, and what a person who
# waits is told.

cache=${FAIRLEAD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fairlead}
started=$SECONDS

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() { say "$*"; exit 1; }

# timed TEXT COMMAND...: runs COMMAND, saying every 15 seconds that it still runs, and how long it took.
timed() {
  local text=$1 from=$SECONDS log pid ticker status=0
  shift
  log=$(mktemp)
  say "$text ..."
  "$@" >"$log" 2>&1 &
  pid=$!
  # Ends with this script even if that is killed, and its sleep holds neither the lock nor anybody's pipe.
  (while sleep 15 >/dev/null 2>&1 9>&- && kill -0 $$ 2>/dev/null; do say "$text: $((SECONDS - from)) s so far"; done) &
  ticker=$!
  wait "$pid" || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if [ "$status" -eq 0 ]; then
    say "$text: done after $((SECONDS - from)) s"
  else
    say "$text: failed after $((SECONDS - from)) s; its last lines were:"
    tail -n 15 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

# alone NAME: waits until no other run makes the binaries of this name, which are then kept in $cache/NAME, and sets up a
# place for temporary files. What a killed run left there goes now, under the lock.
alone() {
  local scratch=$cache/$1/.scratch
  mkdir -p "$cache/$1"
  exec 9>"$cache/$1/.lock"
  if ! flock --nonblock 9; then
    say "another run is making the binaries; waiting for it"
    flock 9
  fi
  rm -rf "$scratch"
  mkdir -p "$scratch"
  # shellcheck disable=SC2064 # this folder, not what the name means later
  trap "rm -rf '$scratch'" EXIT
  export TMPDIR=$scratch GOTMPDIR=$scratch
}
