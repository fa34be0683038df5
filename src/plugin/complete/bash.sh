# bash completion of kubectl-rotatedsecret. The plugin is asked for the words, so that names of objects are completed too.
_kubectl_rotatedsecret() {
    local word last lines directive
    local -a words=() candidates=()
    # Bash separates words at = and :, as in --namespace=shop.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        last=$((${#words[@]} - 1))
        if ((last >= 0)) && [[ $word == [=:]* || ${words[last]} == *[=:] ]]; then
            words[last]+=$word
        else
            words+=("$word")
        fi
    done
    lines=$("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null) || return
    directive=${lines##*$'\n'}
    if [[ $directive == :0 ]]; then
        compopt -o default
        COMPREPLY=()
        return
    fi
    mapfile -t candidates <<<"$lines"
    unset 'candidates[-1]'
    # What bash has separated stays on the line.
    word=${words[-1]}
    local kept=${word%"${word##*[=:]}"}
    COMPREPLY=("${candidates[@]#"$kept"}")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
}
complete -F _kubectl_rotatedsecret kubectl-rotatedsecret
