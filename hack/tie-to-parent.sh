# Sourced first by scripts that must end with whoever started them, even by kill -9: else a killed `make demo` would
# go on building and then start a lab that nobody wants. `tied COMMAND...` does the same for a command of theirs.
if [ "${FAIRLEAD_TIED_TO:-}" != "$PPID" ]; then
  FAIRLEAD_TIED_TO=$PPID exec setpriv --pdeathsig KILL -- "$BASH" "$0" "$@"
fi
unset FAIRLEAD_TIED_TO

tied() { setpriv --pdeathsig KILL -- "$@"; }
