//! The flags that configure the sidecar of all pods. Precedence: a pod's annotations, these flags, the ConfigMap.

use crate::cli::args::Args;
use crate::cli::exit::Exit;
use crate::cli::table::{Command, flags};
use crate::config::DEFAULT_STATUS_PORT;
use crate::inject::values::Values;
use crate::text::Quoted;

flags! {
    /// The flags of the sidecar.
    pub(super) table SidecarFlags {
        "Sidecar (precedence: a pod's annotations, these flags, the ConfigMap)" {
            option image: Option<String>, value "IMAGE" = Text(DEFAULT_IMAGE),
                sets "image" by crate::inject::annotation_names::IMAGE,
                "Run this image";
            option image_pull_policy: Option<String>, value "POLICY" = Text("the cluster's choice"),
                sets "imagePullPolicy" by crate::inject::annotation_names::PULL_POLICY,
                "Pull the image Always, IfNotPresent or Never";
            option resources: Option<String>,
                value "JSON" = Text(DEFAULT_RESOURCES),
                sets "resources" by crate::inject::annotation_names::RESOURCES,
                "Set these resources of the container, a JSON object";
            option status_port: Option<String>, value "PORT" = Number(DEFAULT_STATUS_PORT as u64),
                sets "statusPort" by crate::inject::annotation_names::STATUS_PORT,
                "Point kubelet's probes at this port";
            option target_ip: Option<String>, value "IP|pod" = Text("pod"),
                sets "targetIp" by crate::inject::annotation_names::TARGET_IP,
                "Connect to the app at this address, or at the pod's own";
            option source_ip: Option<String>, value "IP" = Text("the kernel's choice"),
                sets "sourceIp" by crate::inject::annotation_names::SOURCE_IP,
                "Connect to the app from this address";
            option allow_from: Vec<String>, value "CIDR" = Text("every peer"),
                sets "allowFrom" by crate::inject::annotation_names::ALLOW_FROM,
                "Let the agent answer only peers of this network and of loopback, also on forwarded and inbound ports; \
                 kubelet's address must be in it; several are separated by commas";
            option linkerd_skip_ports: Option<String>, value "true|false" = Text("false"),
                sets "linkerdSkipPorts" by crate::inject::annotation_names::LINKERD_SKIP_PORTS,
                "Add the sidecar's ports to config.linkerd.io/skip-inbound-ports of the pod, so that Linkerd's proxy does \
                 not intercept kubelet's probes; the annotation replaces the list of Linkerd's installation";
            option sidecar: Option<String>, value "KIND" = Text("native; container before Kubernetes 1.29"),
                sets "sidecar" by crate::inject::annotation_names::SIDECAR_KIND,
                "Add a native sidecar (an init container that is always restarted) or an ordinary container: native \
                 or container";
            option run_as_user: Option<String>, value "UID|none" = Number(1337),
                sets "runAsUser" by crate::inject::annotation_names::RUN_AS_USER,
                "Run the sidecar as this user and group, or, with none, as those that the cluster assigns to the pod, such as \
                 from OpenShift's ranges; traffic rules of a proxy that exempt user 1337 then redirect the sidecar's probes \
                 as well, unless they exempt its source address";
            option convert_exec: Option<String>, value "true|false" = Text("false"),
                sets "convertExec" by crate::inject::annotation_names::CONVERT_EXEC,
                "Let the sidecar probe in place of exec probes whose command it can replace: curl, nc -z, grpc_health_probe and \
                 probelet check on loopback";
            option min_timeout_seconds: Option<String>, value "SECONDS" = Number(0),
                sets "minTimeoutSeconds" by crate::inject::annotation_names::MIN_TIMEOUT,
                "Raise shorter timeouts of injected probes to SECONDS, in the probe and for the agent; 0 leaves them unchanged";
            option startup_probe: Option<String>, value "true|false" = Text("false"),
                sets "startupProbe" by crate::inject::annotation_names::STARTUP_PROBE,
                "Give the sidecar a startup probe";
        }
    }
}

const DEFAULT_IMAGE: &str = concat!("localhost/probelet:", env!("CARGO_PKG_VERSION"));

const DEFAULT_RESOURCES: &str =
    r#"{"requests":{"cpu":"1m","memory":"2Mi"},"limits":{"memory":"16Mi"}}"#;

impl SidecarFlags {
    /// The settings that are given.
    ///
    /// # Errors
    /// The first value that is not valid.
    pub(super) fn values(args: &Args<'_>, command: &Command) -> Result<Values, Exit> {
        let mut values = Values::default();
        for (flag, value) in args.given() {
            let Some(setting) = flag.setting else {
                continue;
            };
            values
                .set_from_text(setting.key, value)
                .map_err(|error| command.usage_error(error.describe(&flag.long, &Quoted(value))))?;
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::values::InvalidText;

    #[test]
    fn the_defaults_of_the_help_are_those_of_the_settings() {
        let settings = Values::default().with_defaults();
        assert_eq!(&*settings.image, DEFAULT_IMAGE);
        let resources: serde_json::Value =
            serde_json::from_str(DEFAULT_RESOURCES).expect("an object");
        assert_eq!(settings.resources, resources);
        assert_eq!(settings.status_port, DEFAULT_STATUS_PORT);
    }

    #[test]
    fn each_flag_sets_a_member_of_the_config_map() {
        let flags = SidecarFlags::SECTIONS
            .iter()
            .flat_map(|section| section.flags);
        for flag in flags {
            let key = flag.setting.expect("a setting").key;
            let error = Values::default()
                .set_from_text(key, "")
                .expect_err("nothing is no value");
            assert_ne!(error, InvalidText::Write("a known field"), "{key}");
        }
    }
}
