//! The text of `--help`, by hand: argh's own lists eighteen flags without order or defaults.

use crate::limits;
use crate::net::tls;

/// `probelet --help`
pub(super) fn top() -> String {
    "\
probelet: a health-probe proxy for Kubernetes pods whose ports speak mutual TLS.

kubelet has no mesh certificate, so its probes of such a port fail. probelet sits beside the app,
takes the probes on a plaintext port of its own, makes the real probe and hands back its status.

Usage: probelet run [FLAGS]
       probelet check [FLAGS] URL
       probelet install DIR

Commands, each with a --help of its own:
  run          take probes on the status port and probe the app
  check        probe once, tell how it went, and exit with 0 or 1
  install      copy this program to where another container can run it

Flags:
  --help       print this
  --version    print the version"
        .into()
}

/// `probelet run --help`
pub(super) fn run() -> String {
    format!(
        r#"probelet run: take kubelet's probes on the status port, probe the app, hand back the status code.

Usage: probelet run [FLAGS]

Example; the second line from another terminal:
  probelet run --app-probers '{{"/app-health/web/livez":{{"httpGet":{{"path":"/healthz","port":8080}}}}}}'
  curl -i http://127.0.0.1:15020/app-health/web/livez

A flag is written `--name VALUE` or `--name=VALUE`. Each can also be set as an environment variable:
PROBELET_ and its name, such as PROBELET_STATUS_PORT for --status-port. A flag goes before a
variable, and an empty variable counts as unset.

Where probes come in:
  --status-port PORT        plaintext port that kubelet probes [15020]
  --status-addr IP          address it listens on [every one, IPv6 and IPv4]

What is probed:
  --app-probers JSON|@FILE  the probers, as Istio writes them [none]; else ISTIO_KUBE_APP_PROBERS
  --target-ip IP            the app's address [127.0.0.1]; else POD_IP, then INSTANCE_IP
  --source-ip IP            address to dial --target-ip from, for probes and forwards [the kernel's
                            choice]; 127.0.0.6 gets past Istio's interception of the pod's address

When the app speaks TLS{no_tls}:
  --client-cert FILE        PEM file of the certificate to show an app that asks for one, then its
                            intermediates [none]; all PEM files are read again when they change
  --client-key FILE         PEM file of its key, without a passphrase
  --app-ca FILE             PEM file of the CA certificates that the app's must lead to, whatever
                            name it has [nothing is verified, as in kubelet]
  --app-id SPIFFE-ID        the URI it must have beside that, such as spiffe://example.org/web [any]

What is passed through:
  --forward LISTEN=TARGET   pass TCP connections on as they are, {forwards} times at most [none]:
                            15032=127.0.0.1:8002 or 0.0.0.0:15032=[::1]:8002
                            PROBELET_FORWARD takes several, with commas between

When:
  --deadline-margin MS      answer so many milliseconds before a probe's timeout [{margin}]
  --shutdown-delay SECONDS  serve on that long after SIGTERM [0]

What is logged, on standard error:
  --log-level LEVEL         error, warn, info or debug [info]
  --log-format FORMAT       logfmt or json [logfmt]

How much at once; each can only be lowered:
  --max-probes N            probes [{probes}]
  --max-hooks N             lifecycle hooks [{hooks}]
  --max-reserve N           connections that are told 503 when all else is taken [{reserve}]
  --max-forwards N          connections passed through [{forward_slots}]

  --help                    print this

A mistake in the flags is told before anything listens, with exit code 2; an address that cannot be
listened on with 1."#,
        no_tls = match tls::IS_BUILT {
            true => "",
            false => " (this build does not)",
        },
        forwards = limits::FORWARDS,
        margin = limits::DEADLINE_MARGIN.as_millis() as u64,
        probes = limits::PROBE_SLOTS,
        hooks = limits::HOOK_SLOTS,
        reserve = limits::RESERVE_SLOTS,
        forward_slots = limits::FORWARD_SLOTS,
    )
}

/// `probelet check --help`
#[cfg(feature = "check")]
pub(super) fn check() -> String {
    format!(
        "\
probelet check: probe once, as the agent and kubelet would, and tell how it went in one line.

Usage: probelet check [FLAGS] URL

URLs:
  http://HOST[:PORT][/PATH], https://...      HTTP, redirects to the same host followed
  tcp://HOST:PORT                             whether the port takes a connection
  grpc://HOST:PORT[/SERVICE], grpcs://...     grpc.health.v1, of the server or of one service

Example:
  probelet check http://10.0.0.7:8080/healthz
  probelet check -H 'Host: example.org' --timeout 2.5 --verbose https://10.0.0.7:8443/

Flags:
  --timeout SECONDS    for all of it, the look-up of a name included [{timeout}]
  -H 'NAME: VALUE'     a header to send, Host and User-Agent too; may be given more than once
  --cert FILE          client certificate for https and grpcs, PEM, with its chain
  --key FILE           its private key, PEM
  --verbose            tell each step and what is sent, without secrets, on standard error
  --json               tell the result as one JSON object
  --help               print this

The times in the result count from the start; after a redirect they are the last request's.
The exit code is 0 for what kubelet calls healthy (200 to 399, a connection that was
accepted, SERVING), 1 for all else, and 2 for a usage error.",
        timeout = limits::PROBE_TIMEOUT.as_secs(),
    )
}

/// `probelet install --help`
#[cfg(feature = "check")]
pub(super) fn install() -> String {
    "\
probelet install: copy this program to DIR/probelet, for exec probes in an image that has no shell.

Usage: probelet install DIR

DIR is a volume that an init container and the app's container share, such as an emptyDir. A copy
that is there already stays when it is the same, and is replaced at once when it is not. The path of
the copy is printed; exit code 1 says that there is none, and why.

Example:
  probelet install /probelet

Flags:
  --help    print this"
        .into()
}
