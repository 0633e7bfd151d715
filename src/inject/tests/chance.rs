//! Pods and settings by chance.

use super::*;

/// Marsaglia's xorshift64.
pub(super) struct Chance(u64);

impl Chance {
    /// The seeds of two cases in a row are far apart.
    pub(super) fn new(case: u64) -> Self {
        Self((case + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn port(&mut self) -> Value {
        self.of(&[
            json!(80),
            json!(8001),
            json!(8443),
            json!("http"),
            json!("nowhere"),
            json!("9000"),
        ])
    }

    fn handler(&mut self) -> Value {
        match self.below(6) {
            0 | 1 => json!({"httpGet": self.get()}),
            2 => {
                let tcp = json!({"port": self.port()});
                json!({"tcpSocket": self.maybe(tcp, "host", &[json!(""), json!("a")])})
            }
            3 => {
                let grpc = json!({"port": self.of(&[50051, 50052])});
                let grpc = self.maybe(grpc, "service", &[json!(""), json!(null), json!("orders")]);
                json!({"grpc": self.maybe(grpc, "mode", &[json!("TLS"), json!("Plaintext")])})
            }
            4 => json!({"exec": {"command": ["true"]}}),
            _ => json!({"sleep": {"seconds": 1}}),
        }
    }

    fn get(&mut self) -> Value {
        let mut get = json!({"port": self.port()});
        let headers = [
            json!([]),
            json!([{"name": "X-A", "value": "<1>"}, {"name": "Host", "value": "a"}]),
        ];
        for (key, values) in [
            (
                "path",
                &[json!("/foo"), json!("/$(A)?b=c&d"), json!("")][..],
            ),
            ("scheme", &[json!("HTTP"), json!("HTTPS")]),
            ("host", &[json!(""), json!("a.example")]),
            ("httpHeaders", &headers),
            ("unknown", &[json!({"a": [1]})]),
        ] {
            get = self.maybe(get, key, values);
        }
        get
    }

    /// One time in two.
    fn maybe(&mut self, mut object: Value, key: &str, values: &[Value]) -> Value {
        if self.one_in(2) {
            object[key] = self.of(values);
        }
        object
    }

    fn probe(&mut self) -> Value {
        let handler = self.handler();
        let handler = self.maybe(handler, "timeoutSeconds", &[json!(0), json!(3)]);
        self.maybe(handler, "periodSeconds", &[json!(5)])
    }

    fn container(&mut self, name: &str) -> Value {
        let mut container = json!({"name": name, "image": "web:1"});
        if self.one_in(2) {
            container["ports"] =
                json!([{"name": "http", "containerPort": self.of(&[80, 8001, 8080])}]);
        }
        for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
            if self.one_in(2) {
                container[key] = self.probe();
            }
        }
        for key in ["preStop", "postStart"] {
            if self.one_in(4) {
                container["lifecycle"][key] = self.handler();
            }
        }
        container
    }

    fn containers(&mut self, most: usize, prefix: &str) -> Vec<Value> {
        let count = self.below(most) + 1;
        (0..count)
            .map(|index| self.container(&format!("{prefix}{index}")))
            .collect()
    }

    pub(super) fn pod(&mut self) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": self.containers(3, "c")}});
        let other = json!([{"name": "other", "emptyDir": {}}]);
        pod["spec"] = self.maybe(
            pod["spec"].take(),
            "volumes",
            &[json!(null), json!([]), other],
        );
        if self.one_in(2) {
            let mut init = self.containers(2, "i");
            for container in &mut init {
                *container = self.maybe(container.take(), "restartPolicy", &[json!("Always")]);
            }
            let all = [json!(null), json!([]), init.into()];
            pod["spec"]["initContainers"] = self.of(&all);
        }
        if self.one_in(2) {
            pod["metadata"] = self.of(&[json!(null), json!({}), json!({"name": "web"})]);
            if self.one_in(2) {
                let all = [json!(null), json!({}), self.annotations()];
                pod["metadata"]["annotations"] = self.of(&all);
            }
        }
        pod
    }

    fn annotations(&mut self) -> Value {
        let mut annotations = json!({"team": "a"});
        for (key, values) in [
            (
                "probelet.dev/forward",
                &[json!("8001=15032"), json!("80=15031,8001=15032")][..],
            ),
            (
                "probelet.dev/exclude-containers",
                &[json!("c0"), json!("c1,i0")],
            ),
            (
                "probelet.dev/exclude-ports",
                &[json!("http"), json!("8443")],
            ),
            ("probelet.dev/client-cert-secret", &[json!("mesh")]),
            (
                "probelet.dev/sidecar",
                &[json!("native"), json!("container")],
            ),
            ("status.sidecar.istio.io/port", &[json!("15920")]),
            (
                "traffic.sidecar.istio.io/excludeInboundPorts",
                &[json!("9090"), json!("15032"), json!("")],
            ),
            (
                "sidecar.istio.io/rewriteAppHTTPProbers",
                &[json!("true"), json!("false")],
            ),
        ] {
            if self.one_in(3) {
                annotations[key] = self.of(values);
            }
        }
        annotations
    }

    pub(super) fn settings(&mut self) -> Settings {
        Settings {
            status_port: self.of(&[15020, 15021]),
            sidecar: self.of(&[Sidecar::Native, Sidecar::Container]),
            target: self.of(&[Target::Pod, Target::Ip([127, 0, 0, 1].into())]),
            image: self.of(&["a", "b"]).into(),
            ..settings()
        }
    }
}
