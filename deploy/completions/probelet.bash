# Generated from the tables of flags in src/cli.
_probelet() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} flags
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'run check install grpc-health-probe --help --version' -- "$current")
        return
    fi
    case ${COMP_WORDS[1]} in
        run)
            case $before in --status-port | --status-addr | --allow-from | --app-probers | --target-ip | --source-ip | --client-cert | --client-key | --app-ca | --app-id | --require-files | --forward | --inbound | --allow-id | --cert | --key | --ca | --max-inbound | --deadline-margin | --shutdown-delay | --max-probers | --max-forwards | --log-level | --log-format) return ;; esac
            flags='--status-port --status-addr --allow-from --app-probers --target-ip --source-ip --client-cert --client-key --app-ca --app-id --require-files --forward --inbound --allow-id --cert --key --ca --max-inbound --deadline-margin --shutdown-delay --max-probers --max-forwards --log-level --log-format --help'
            ;;
        check)
            case $before in --timeout | --connect-timeout | -H | --user-agent | --method | --expect-status | --expect-body | --source-ip | --cert | --key | --ca | --server-name | --expect-id) return ;; esac
            flags='--timeout --connect-timeout -H --user-agent --method --expect-status --expect-body --source-ip --cert --key --ca --server-name --expect-id --quiet --verbose --json --help'
            ;;
        install)
            case $before in --as) return ;; esac
            flags='--as --help'
            ;;
        grpc-health-probe)
            case $before in -addr | -service | -user-agent | -connect-timeout | -rpc-timeout | -rpc-header | -tls-ca-cert | -tls-client-cert | -tls-client-key | -tls-server-name) return ;; esac
            flags='-addr -service -user-agent -connect-timeout -rpc-timeout -rpc-header -tls -tls-no-verify -tls-ca-cert -tls-client-cert -tls-client-key -tls-server-name -gzip -alts -spiffe -v --verbose -version --help'
            ;;
        *) return ;;
    esac
    [[ $current == -* ]] || return
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
}
complete -o default -F _probelet probelet
