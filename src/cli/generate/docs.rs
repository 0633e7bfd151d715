//! `docs/flags.md` and `docs/annotations.md`.

use super::generated::{Generated, NOTE, PROGRAMS};
use crate::cli::help::{env_help, label};
use crate::cli::injector::PROBELET_INJECT;
use crate::cli::table::{Command, Flag};
use crate::inject::annotation_names as names;

pub(super) fn flags() -> Generated {
    let mut text = format!("<!-- {NOTE} -->\n\n# Flags\n");
    for program in PROGRAMS {
        text += &format!("\n`{}` is {}.\n", program.name, article(program.summary));
        for command in program.commands {
            text += &of_command(command);
        }
    }
    Generated {
        path: "docs/flags.md".into(),
        text,
    }
}

/// A summary that begins with a verb follows "is a program to".
fn article(summary: &str) -> String {
    match summary.starts_with("a ") {
        true => summary.into(),
        false => format!("a program to {summary}"),
    }
}

fn of_command(command: &Command) -> String {
    let mut text = format!("\n## {}\n\n{}.\n", command.name, capital(command.summary));
    if let Some(alias) = command.full_alias() {
        text += &format!("\nAlias: `{alias}`.\n");
    }
    text += "\n```text\n";
    for usage in command.usage {
        text += &format!("{} {usage}\n", command.name);
    }
    text += "```\n";
    for paragraph in command.description {
        text += &format!("\n{paragraph}\n");
    }
    if let Some(help) = env_help(command) {
        text += &format!("\n{help}\n");
    }
    let has_env = command.env_prefix.is_some();
    for section in command.sections() {
        text += &format!("\n### {}\n\n", section.title);
        text += match has_env {
            true => "| flag | meaning | default | environment |\n|---|---|---|---|\n",
            false => "| flag | meaning | default |\n|---|---|---|\n",
        };
        for flag in section.flags {
            text += &format!(
                "| {} | {} | {} |",
                code(&label(flag)),
                cell(flag.help),
                default(flag)
            );
            if has_env {
                let names = command.env_names(flag);
                let names: Vec<String> = names.iter().map(|name| code(name)).collect();
                text += &format!(" {} |", names.join(", then "));
            }
            text.push('\n');
        }
    }
    for block in command.blocks {
        text += &format!(
            "\n### {}\n\n```text\n{}\n```\n",
            block.title,
            block.lines.join("\n")
        );
    }
    text += &format!("\n{}\n", command.exit_status);
    text
}

/// An annotation that no flag sets for all pods: its name, an example, and its meaning.
struct PodAnnotation {
    name: &'static str,
    example: &'static str,
    meaning: &'static str,
}

const POD_ANNOTATIONS: [PodAnnotation; 15] = [
    PodAnnotation {
        name: names::INJECT,
        example: "true",
        meaning: "Inject this pod, or do not (false). It takes precedence over sidecar.istio.io/inject, so that true with Istio's \
                  false is a pod with probelet and without Istio. A label of the same name takes precedence over the annotation",
    },
    PodAnnotation {
        name: names::ISTIO_INJECT,
        example: "false",
        meaning: "Do not inject this pod. A label of the same name takes precedence over the annotation",
    },
    PodAnnotation {
        name: names::REWRITE,
        example: "false",
        meaning: "Keep this pod's probes. It takes precedence over sidecarInjectorWebhook.rewriteAppHTTPProbe of the ConfigMap",
    },
    PodAnnotation {
        name: names::EXCLUDE_CONTAINERS,
        example: "web,db",
        meaning: "Keep the probes of these containers",
    },
    PodAnnotation {
        name: names::EXCLUDE_PORTS,
        example: "9090,admin",
        meaning: "Keep the probes of these ports, by number or name",
    },
    PodAnnotation {
        name: names::FORWARD,
        example: "8002=15032",
        meaning: "APP_PORT=AGENT_PORT, the reverse order of --forward: open AGENT_PORT on the sidecar, forward it to APP_PORT, \
                  and rewrite httpGet probes of APP_PORT to AGENT_PORT",
    },
    PodAnnotation {
        name: names::PROBERS,
        example: r#"{"web":{"livenessProbe":{"all":[...]}}}"#,
        meaning: "Let the sidecar probe the app in another way than the pod's own handler says, by container and probe: several \
                  handlers (all), expected status codes and text (expect), as in the table of probers; the probe's own \
                  timeoutSeconds applies",
    },
    PodAnnotation {
        name: names::CLIENT_CERT,
        example: "web-client-tls",
        meaning: "Send the client certificate in this Secret (tls.crt and tls.key) to the app",
    },
    PodAnnotation {
        name: names::APP_CA,
        example: "mesh-ca",
        meaning: "Verify the app's certificate chain against the CA in this Secret (ca.crt)",
    },
    PodAnnotation {
        name: names::APP_ID,
        example: "spiffe://example.org/web",
        meaning: "Require this SPIFFE ID in the app's certificate; the annotation of the CA is required too",
    },
    PodAnnotation {
        name: names::INBOUND,
        example: "8443=8001",
        meaning: "SIDECAR_PORT=APP_PORT: accept mutual TLS on SIDECAR_PORT and pass the plaintext to APP_PORT, whose probes reach \
                  the app on loopback. APP_PORT alone, of an app on loopback, keeps the number of its port: the sidecar \
                  listens on it at the pod's address. Options follow a port as in --inbound, such as 8443=8001,mode=permissive; \
                  several ports are separated by commas",
    },
    PodAnnotation {
        name: names::APP_LISTENS,
        example: "loopback",
        meaning: "The app listens on 127.0.0.1 alone, or on ::1 with probelet.dev/target-ip: ::1, so that the sidecar can listen on the \
                  same port of the pod's address",
    },
    PodAnnotation {
        name: names::ALLOW_ID,
        example: "spiffe://cluster.local/ns/shop/sa/*",
        meaning: "Allow clients with these identities at the inbound ports: SPIFFE IDs (* is one segment, /** at the end one or \
                  more), dns:NAME, or any; several are separated by commas",
    },
    PodAnnotation {
        name: names::IDENTITY_SECRET,
        example: "web-tls",
        meaning: "Use tls.crt, tls.key and ca.crt of this Secret for inbound ports, as the client certificate of probes, and to \
                  verify the app in HTTPS probes. The Secret may be created after the pod",
    },
    PodAnnotation {
        name: names::IDENTITY_CSI,
        example: "spiffe.csi.cert-manager.io",
        meaning: "Use the files with these names that a CSI driver writes: the name of the driver, or csi of a volume as JSON \
                  with driver and volumeAttributes",
    },
];

pub(super) fn annotations() -> Generated {
    let mut text = format!(
        "<!-- {NOTE} -->\n\n# Annotations\n\n\
         Annotations belong on the pod, or on the pod template of its controller. The same setting for all pods is a flag of \
         `probelet-inject`, or a member of `probelet` in the `values` of the ConfigMap. An annotation takes precedence over \
         a flag, and a flag over the ConfigMap.\n\n\
         ## Settings of the sidecar\n\n\
         | annotation | flag | `values` | meaning | default |\n|---|---|---|---|---|\n"
    );
    for (flag, setting) in settings() {
        text += &format!(
            "| {} | {} | {} | {} | {} |\n",
            code(setting.annotation),
            code(&label(flag)),
            code(&format!("probelet.{}", setting.key)),
            cell(flag.help),
            default(flag)
        );
    }
    text += "\nA status port of `0` in the annotation disables injection of the pod.\n";
    text += &format!(
        "\nThe webhook also reads {} of namespaces, for pods without this annotation; it takes precedence over the flag.\n",
        code(names::RESOURCES)
    );
    text += &format!(
        "Where a ResourceQuota has the scope `BestEffort` or `NotBestEffort`, it writes no CPU and memory amounts into the \
         sidecar of a BestEffort pod, so that the pod stays BestEffort. The command line does not know quotas: there, set {} to `{{}}`.\n",
        code(names::RESOURCES)
    );
    text += "\n## Pods and their probes\n\n| annotation | example | meaning |\n|---|---|---|\n";
    for annotation in POD_ANNOTATIONS {
        let (name, example) = (code(annotation.name), code(annotation.example));
        text += &format!("| {name} | {example} | {} |\n", cell(annotation.meaning));
    }
    text += &format!(
        "\n`probelet-inject` itself writes {}, which holds the originals for `--uninject`, and adds the ports of {} to {}, \
         and with {} those of the sidecar to {}. With an ordinary sidecar it writes {}, unless the pod has it.\n",
        code(names::ORIGINAL_ANNOTATION),
        code(names::FORWARD),
        code(names::EXCLUDE_INBOUND),
        code(names::LINKERD_SKIP_PORTS),
        code(names::SKIP_INBOUND),
        code(names::DEFAULT_CONTAINER)
    );
    Generated {
        path: "docs/annotations.md".into(),
        text,
    }
}

/// The settings of the injector, once each.
fn settings() -> Vec<(&'static Flag, crate::cli::table::Setting)> {
    let mut settings: Vec<(&Flag, crate::cli::table::Setting)> = Vec::new();
    for flag in PROBELET_INJECT
        .commands
        .iter()
        .flat_map(|command| command.flags())
    {
        if let Some(setting) = flag.setting
            && !settings.iter().any(|(_, known)| known.key == setting.key)
        {
            settings.push((flag, setting));
        }
    }
    settings
}

#[test]
fn each_annotation_is_documented() {
    let settings = settings()
        .into_iter()
        .map(|(_, setting)| setting.annotation);
    let of_pods = POD_ANNOTATIONS.iter().map(|annotation| annotation.name);
    let mut documented: Vec<&str> = settings
        .chain(of_pods)
        .chain([
            names::ORIGINAL_ANNOTATION,
            names::EXCLUDE_INBOUND,
            names::SKIP_INBOUND,
        ])
        .collect();
    documented.sort_unstable();
    let mut known = names::KNOWN.to_vec();
    known.sort_unstable();
    assert_eq!(documented, known);
}

fn default(flag: &Flag) -> String {
    let default = flag.default.as_ref();
    default.map_or_else(String::new, |default| cell(&default.to_string()))
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}
