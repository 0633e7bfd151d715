//! Random pods and settings: probes of every kind, in every spelling that the API server accepts, and some that it rejects.

use super::api_server::TOKEN_MOUNT_PATH;
use super::commands::{COMMANDS, PORT};
use probelet::inject::values::Values;
use probelet::inject::{Settings, Sidecar, Target};
use serde_json::{Value, json};

/// Marsaglia's xorshift64.
pub struct Random(u64);

const IMAGES: [&str; 6] = [
    "registry.example/probelet:1",
    "registry.example/probelet:2",
    "registry.example:5000/probelet",
    "probelet:latest",
    "registry.example/probelet@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "registry.example/probelet:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

impl Random {
    /// Consecutive seeds lead to states far from each other.
    pub fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    /// True once in `count` calls.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// Sets a member to one of these values, once in two calls.
    fn maybe(&mut self, object: &mut Value, key: &str, values: &[Value]) {
        if self.one_in(2) {
            object[key] = self.pick(values);
        }
    }

    fn port(&mut self) -> Value {
        match self.below(24) {
            0 => json!("9000"),
            1 | 2 => json!("nowhere"),
            3..=6 => json!("http"),
            7 => json!("dns"),
            _ => self.pick(&[json!(80), json!(8001), json!(8443)]),
        }
    }

    fn probe_handler(&mut self) -> Value {
        let mut handler = match self.below(24) {
            0..=7 => json!({"httpGet": self.http_get()}),
            8..=12 => json!({"tcpSocket": self.tcp_socket()}),
            13..=16 => json!({"grpc": self.grpc()}),
            17..=22 => json!({"exec": self.exec()}),
            // The Go type of a probe does not have it.
            _ => json!({"sleep": {"seconds": 1}}),
        };
        self.other_handlers(&mut handler, &["httpGet", "tcpSocket", "grpc", "exec"]);
        handler
    }

    fn hook(&mut self) -> Value {
        let mut handler = match self.below(12) {
            0..=5 => json!({"httpGet": self.http_get()}),
            6 | 7 => json!({"exec": self.exec()}),
            8 | 9 => json!({"sleep": {"seconds": 1}}),
            10 => json!({"tcpSocket": self.tcp_socket()}),
            // The Go type of a hook does not have it.
            _ => json!({"grpc": self.grpc()}),
        };
        self.other_handlers(&mut handler, &["httpGet", "tcpSocket", "exec", "sleep"]);
        handler
    }

    /// Explicit nulls, which the API server drops, and sometimes a second handler, which it refuses: not beside one that the
    /// Go type does not have, which it drops too, so that the second one is the only one.
    fn other_handlers(&mut self, handler: &mut Value, all: &[&str]) {
        let second = self.one_in(60).then(|| json!({"command": ["true"]}));
        let is_known = all.iter().any(|kind| handler.get(kind).is_some());
        for kind in all {
            if handler.get(kind).is_none() && self.one_in(10) {
                handler[*kind] = Value::Null;
            }
        }
        if let Some(second) = second
            && handler["exec"].is_null()
            && is_known
        {
            handler["exec"] = second;
        }
    }

    fn exec(&mut self) -> Value {
        let index = self.below(COMMANDS.len());
        COMMANDS[index].exec()
    }

    fn tcp_socket(&mut self) -> Value {
        let mut tcp_socket = json!({"port": self.port()});
        if self.one_in(4) {
            tcp_socket["host"] =
                self.pick(&[json!(""), json!(""), json!(null), json!("a.example")]);
        }
        tcp_socket
    }

    fn grpc(&mut self) -> Value {
        let mut grpc = json!({"port": self.pick(&[50051, 50052])});
        let services = [json!(""), json!(null), json!("orders")];
        self.maybe(&mut grpc, "service", &services);
        if self.one_in(4) {
            grpc["mode"] = self.pick(&[json!("TLS"), json!("Plaintext"), json!(null)]);
        }
        grpc
    }

    fn http_get(&mut self) -> Value {
        let mut get = json!({"port": self.port()});
        let headers = [
            json!([]),
            json!(null),
            json!([{"name": "X-A", "value": "<1>"}, {"name": "Host", "value": "a"}]),
            json!([{"name": "X-Empty"}]),
        ];
        let paths = [json!("/foo"), json!("/$(A)?b=c&d"), json!(""), json!(null)];
        self.maybe(&mut get, "path", &paths);
        self.maybe(
            &mut get,
            "scheme",
            &[json!("HTTP"), json!("HTTPS"), json!("")],
        );
        self.maybe(&mut get, "httpHeaders", &headers);
        if self.one_in(4) {
            get["host"] = self.pick(&[json!(""), json!(""), json!(null), json!("a.example")]);
        }
        if self.one_in(10) {
            get["protocol"] = self.pick(&[json!("HTTP1"), json!("HTTP2"), json!(null)]);
        }
        if self.one_in(10) {
            get["unknown"] = json!({"a": [1]});
        }
        get
    }

    fn probe(&mut self) -> Value {
        let mut probe = self.probe_handler();
        self.maybe(
            &mut probe,
            "timeoutSeconds",
            &[json!(0), json!(3), json!(null)],
        );
        self.maybe(&mut probe, "periodSeconds", &[json!(5)]);
        if self.one_in(8) {
            probe["terminationGracePeriodSeconds"] = self.pick(&[json!(7), json!(null)]);
        }
        if self.one_in(8) {
            probe["successThreshold"] = self.pick(&[json!(0), json!(1)]);
        }
        probe
    }

    fn ports(&mut self, dns: bool) -> Value {
        let mut ports = json!([{"name": "http", "containerPort": self.pick(&[80, 8001, 8080])}]);
        let protocols = [json!("TCP"), json!(null), json!("")];
        self.maybe(&mut ports[0], "protocol", &protocols);
        if dns {
            let port = json!({"name": "dns", "containerPort": 8443, "protocol": "UDP"});
            ports.as_array_mut().expect("a list").push(port);
        }
        ports
    }

    /// Resources, in spellings that the API server normalises.
    pub fn resources(&mut self) -> Value {
        let mut resources = json!({});
        let requests = [
            json!({"cpu": "1m", "memory": "2Mi"}),
            json!({"cpu": "0.001", "memory": "2048Ki"}),
            json!({"cpu": "1e-3", "memory": 2_097_152}),
            json!({"memory": "2e6"}),
            json!({}),
            json!(null),
        ];
        let limits = [
            json!({"memory": "16Mi"}),
            json!({"memory": "16384Ki", "cpu": "0.5"}),
            json!({"memory": "1024Mi", "cpu": 1}),
            json!({"memory": "0.5Gi", "cpu": "1e3"}),
            json!({"memory": 134_217_728, "cpu": "1.0"}),
            json!(null),
        ];
        self.maybe(&mut resources, "requests", &requests);
        self.maybe(&mut resources, "limits", &limits);
        resources
    }

    fn container(&mut self, name: &str, has_probes: bool) -> Value {
        let image = self.pick(&["web:1", "registry.example/web", "web:latest"]);
        let mut container = json!({"name": name, "image": image});
        if self.one_in(2) {
            let dns = self.one_in(3);
            container["ports"] = self.ports(dns);
        }
        if self.one_in(4) {
            container["resources"] = self.resources();
        }
        if self.one_in(4) {
            container["imagePullPolicy"] =
                self.pick(&[json!("Always"), json!("Never"), json!(null), json!("")]);
        }
        if self.one_in(3) {
            container["env"] = self.pick(&[
                json!([]),
                json!([{"name": "A", "value": ""}, {"name": "B", "value": "b"}]),
                json!([{"name": PORT.0, "value": PORT.1}]),
                json!([{"name": PORT.0, "value": PORT.1}]),
            ]);
        }
        if self.one_in(12) {
            container["volumeMounts"] =
                json!([{"name": "other", "mountPath": TOKEN_MOUNT_PATH, "readOnly": false}]);
        }
        if !has_probes {
            return container;
        }
        for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
            match self.below(8) {
                0..=3 => container[key] = self.probe(),
                4 => container[key] = Value::Null,
                _ => {}
            }
        }
        for key in ["preStop", "postStart"] {
            match self.below(8) {
                0 | 1 => container["lifecycle"][key] = self.hook(),
                2 => container["lifecycle"][key] = Value::Null,
                _ => {}
            }
        }
        container
    }

    fn init_containers(&mut self) -> Value {
        let count = self.below(2) + 1;
        let mut containers = Vec::new();
        for index in 0..count {
            let is_sidecar = self.one_in(2);
            // The API server refuses probes of an init container that ends.
            let has_probes = is_sidecar || self.one_in(12);
            let mut container = self.container(&format!("i{index}"), has_probes);
            if is_sidecar {
                container["restartPolicy"] = json!("Always");
            }
            containers.push(container);
        }
        containers.into()
    }

    /// A pod.
    pub fn pod(&mut self) -> Value {
        let count = self.below(3) + 1;
        let containers: Vec<Value> = (0..count)
            .map(|index| self.container(&format!("c{index}"), true))
            .collect();
        let mut spec = json!({"containers": containers});
        let other = json!([{"name": "other", "emptyDir": {}}]);
        if spec.to_string().contains(TOKEN_MOUNT_PATH) {
            spec["volumes"] = other.clone();
        } else {
            let secret = json!([{"name": "other"}, {"name": "files", "secret": {"secretName": "a", "items": []}}]);
            self.maybe(
                &mut spec,
                "volumes",
                &[json!(null), json!([]), other, secret],
            );
        }
        if self.one_in(2) {
            let init = self.init_containers();
            if init.to_string().contains(TOKEN_MOUNT_PATH) {
                spec["volumes"] = json!([{"name": "other", "emptyDir": null}]);
            }
            spec["initContainers"] = self.pick(&[json!(null), json!([]), init]);
        }
        if self.one_in(6) {
            spec["terminationGracePeriodSeconds"] = self.pick(&[json!(10), json!(60), json!(3)]);
        }
        if self.one_in(12) {
            spec["restartPolicy"] = self.pick(&[json!("Never"), json!("OnFailure")]);
        }
        if self.one_in(24) {
            spec["hostNetwork"] = self.pick(&[json!(true), json!(false)]);
        }
        if self.one_in(6) {
            spec["automountServiceAccountToken"] = self.pick(&[json!(true), json!(false)]);
        }
        if self.one_in(12) {
            spec["tolerations"] =
                json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]);
        }
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
        if self.one_in(2) {
            pod["metadata"] = self.pick(&[json!(null), json!({}), json!({"name": "web"})]);
            if self.one_in(2) {
                let all = [json!(null), json!({}), self.annotations()];
                pod["metadata"]["annotations"] = self.pick(&all);
            }
        }
        pod
    }

    fn annotations(&mut self) -> Value {
        let mut annotations = json!({"team": "a"});
        for (key, values) in [
            (
                "probelet.dev/forward",
                &["8001=15032", "80=15031,8001=15032"][..],
            ),
            ("probelet.dev/exclude-containers", &["c0", "c1,i0"]),
            ("probelet.dev/exclude-ports", &["http", "8443"]),
            ("probelet.dev/client-cert-secret", &["mesh"]),
            ("probelet.dev/convert-exec", &["true", "false"]),
            ("probelet.dev/sidecar", &["native", "container"]),
            ("status.sidecar.istio.io/port", &["15920"]),
            (
                "traffic.sidecar.istio.io/excludeInboundPorts",
                &["9090", "15032", ""],
            ),
            ("sidecar.istio.io/rewriteAppHTTPProbers", &["true", "false"]),
        ] {
            if self.one_in(3) {
                annotations[key] = self.pick(values).into();
            }
        }
        for (key, values) in [
            ("probelet.dev/image", &IMAGES[..2]),
            ("probelet.dev/image-pull-policy", &["Never"]),
            (
                "probelet.dev/resources",
                &[r#"{"limits":{"memory":"0.5Gi"}}"#],
            ),
            ("probelet.dev/app-ca-secret", &["ca"]),
        ] {
            if self.one_in(8) {
                annotations[key] = self.pick(values).into();
            }
        }
        annotations
    }

    /// An image of the agent.
    pub fn image(&mut self) -> Box<str> {
        self.pick(&IMAGES).into()
    }

    /// A pull policy, or none.
    pub fn pull_policy(&mut self) -> Option<Box<str>> {
        let policies = [
            None,
            None,
            Some("Always"),
            Some("Never"),
            Some("IfNotPresent"),
        ];
        self.pick(&policies).map(Into::into)
    }

    /// Settings.
    pub fn settings(&mut self) -> Settings {
        let defaults = Values::default().with_defaults();
        let resources = match self.one_in(2) {
            true => defaults.resources.clone(),
            false => self.resources(),
        };
        Settings {
            status_port: self.pick(&[15020, 15021]),
            convert_exec: self.one_in(2),
            sidecar: self.pick(&[Sidecar::Native, Sidecar::Container]),
            target: self.pick(&[Target::Pod, Target::Ip([127, 0, 0, 1].into())]),
            image: self.image(),
            pull_policy: self.pull_policy(),
            resources,
            ..defaults
        }
    }
}
