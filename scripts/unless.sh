# For scripts that go on where they were killed: run a command of `llm_compiler` once.
unless() { # unless FILE COMMAND...: the file is the last that the command writes.
    local file=$1
    shift
    if [ ! -e "$file" ]; then
        echo "+ ${llm_compiler[*]} $*"
        "${llm_compiler[@]}" "$@"
    fi
}
