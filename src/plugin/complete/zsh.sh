#compdef kubectl-rotatedsecret
# zsh completion of kubectl-rotatedsecret. The plugin is asked for the words, so that names of objects are completed too.
_kubectl_rotatedsecret() {
    local -a lines
    lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${lines[-1]} == :0 ]]; then
        _files
        return
    fi
    lines=("${(@)lines[1,-2]}")
    local -a open=("${(@M)lines:#*=}") whole=("${(@)lines:#*=}")
    (( ${#open} )) && compadd -S '' -- "${open[@]}"
    (( ${#whole} )) && compadd -- "${whole[@]}"
}
if [[ ${funcstack[1]} == _kubectl_rotatedsecret ]]; then
    _kubectl_rotatedsecret "$@"
else
    compdef _kubectl_rotatedsecret kubectl-rotatedsecret
fi
