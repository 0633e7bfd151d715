# Generated from the tables of flags in src/cli.
_probelet() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} flags
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'run check install --help --version' -- "$current")
        return
    fi
    case ${COMP_WORDS[1]} in
        run)
            case $before in --status-port | --status-addr | --allow-from | --app-probers | --target-ip | --source-ip | --client-cert | --client-key | --app-ca | --app-id | --require-files | --forward | --inbound | --allow-id | --cert | --key | --ca | --max-inbound | --deadline-margin | --shutdown-delay | --max-probers | --max-forwards | --log-level | --log-format) return ;; esac
            flags='--status-port --status-addr --allow-from --app-probers --target-ip --source-ip --client-cert --client-key --app-ca --app-id --require-files --forward --inbound --allow-id --cert --key --ca --max-inbound --deadline-margin --shutdown-delay --max-probers --max-forwards --log-level --log-format --help'
            ;;
        check)
            case $before in --timeout | -H | --cert | --key) return ;; esac
            flags='--timeout -H --cert --key --verbose --json --help'
            ;;
        install)
            flags='--help'
            ;;
        *) return ;;
    esac
    [[ $current == -* ]] || return
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
}
complete -o default -F _probelet probelet
