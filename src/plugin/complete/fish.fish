# fish completion of kubectl-rotatedsecret. The plugin is asked for the words, so that names of objects are completed too.
function __kubectl_rotatedsecret_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l lines ($program __complete $words "$last" 2>/dev/null)
    if test "$lines[-1]" = :0
        __fish_complete_path "$last"
        return
    end
    set -e lines[-1]
    printf '%s\n' $lines
end
complete -c kubectl-rotatedsecret -f -a '(__kubectl_rotatedsecret_complete)'
