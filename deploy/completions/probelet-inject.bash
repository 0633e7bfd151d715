# Generated from the tables of flags in src/cli.
_probelet_inject() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} flags
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'file kube-inject audit serve --help --version' -- "$current")
        return
    fi
    case ${COMP_WORDS[1]} in
        file | kube-inject)
            case $before in -f | --filename | -o | --output | --config | --kube-version | --kind-template | --image | --image-pull-policy | --resources | --status-port | --target-ip | --source-ip | --allow-from | --linkerd-skip-ports | --sidecar | --run-as-user | --convert-exec | --min-timeout-seconds | --startup-probe) return ;; esac
            flags='-f --filename -R --recursive -o --in-place --diff --check --output --uninject --config --kube-version --kind-template --image --image-pull-policy --resources --status-port --target-ip --source-ip --allow-from --linkerd-skip-ports --sidecar --run-as-user --convert-exec --min-timeout-seconds --startup-probe --help'
            ;;
        audit)
            case $before in -f | --filename | --config | --namespace-label | --webhook-namespace | --output | --kind-template) return ;; esac
            flags='-f --filename -R --recursive --config --namespace-label --webhook-namespace --output --kind-template --help'
            ;;
        serve)
            case $before in --addr | --port | --shutdown-delay | --config | --api-server | --api-ca | --api-token | --webhook | --cert | --key | --client-ca | --service | --namespace | --secret | --image | --image-pull-policy | --resources | --status-port | --target-ip | --source-ip | --allow-from | --linkerd-skip-ports | --sidecar | --run-as-user | --convert-exec | --min-timeout-seconds | --startup-probe | --log-level | --log-format) return ;; esac
            flags='--addr --port --shutdown-delay --config --api-server --api-ca --api-token --webhook --find-pods --repair --cert --key --self-signed --client-ca --service --namespace --secret --image --image-pull-policy --resources --status-port --target-ip --source-ip --allow-from --linkerd-skip-ports --sidecar --run-as-user --convert-exec --min-timeout-seconds --startup-probe --log-level --log-format --help'
            ;;
        *) return ;;
    esac
    [[ $current == -* ]] || return
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
}
complete -o default -F _probelet_inject probelet-inject
