//! `audit`: lists pods that are eligible and not injected.

use super::{Folder, Runs, assert_refused, fed, pod, service, written};
use crate::support::trials::trials;
use libtest_mimic::Trial;

pub fn tests() -> Vec<Trial> {
    trials!["injector::audit":
        only_eligible_pods_are_listed,
        without_eligible_pods_there_is_no_output,
        json_output_has_one_object_per_line,
        unreadable_documents_are_reported_with_the_list,
        only_labelled_namespaces_are_audited,
        ineligible_pods_are_not_listed,
        a_misplaced_annotation_is_reported,
        the_namespace_label_is_a_key_and_a_value,
        eligible_pod_templates_of_unknown_kinds_are_listed,
        pods_that_the_sidecar_keeps_from_being_created_are_listed,
        pods_that_a_policy_rejects_are_listed_as_possibly_because_of_the_sidecar,
        rejections_that_have_ended_or_have_other_causes_are_not_listed,
        a_rejection_is_attributed_by_the_resources_of_the_template_and_the_namespace,
        pods_whose_sidecar_does_not_start_are_listed,
        controllers_whose_pods_are_in_the_input_are_not_listed,
        exec_probes_that_could_be_converted_are_noted,
    ]
}

/// A List like the output of `kubectl get ns,pods -A -o yaml`.
fn list(pods: &[String]) -> String {
    let items = pods.iter().map(|pod| {
        let lines: String = pod.lines().map(|line| format!("  {line}\n")).collect();
        lines.replacen("  ", "- ", 1)
    });
    format!(
        "apiVersion: v1\nitems:\n{}kind: List\nmetadata:\n  resourceVersion: \"\"\n",
        items.collect::<String>()
    )
}

fn owned(name: &str) -> String {
    let owner = "  namespace: shop\n  ownerReferences:\n  - apiVersion: apps/v1\n    kind: ReplicaSet\n    \
                 name: web\n    uid: 1\nspec:";
    pod(name).replacen("spec:", owner, 1)
}

fn injected(folder: &Folder, pod: &str) -> String {
    written(&fed(&folder.0, &["file", "-f", "-"], pod)).into()
}

fn only_eligible_pods_are_listed() {
    let folder = Folder::new();
    let exec = pod("exec").replace(
        "httpGet:\n        path: /ready\n        port: 8080",
        "exec:\n        command: [ok]",
    );
    let off = pod("off").replacen(
        "spec:",
        "  labels:\n    sidecar.istio.io/inject: \"false\"\nspec:",
        1,
    );
    let pods = [
        owned("web-1"),
        injected(&folder, &pod("done")),
        exec,
        off,
        pod("db"),
        pod("other").replace("name: web\n", "name: probelet\n"),
    ];
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&pods));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(
        ended.stdout,
        "pod/web-1 namespace=shop not injected: injection would rewrite readyz\n\
         pod/db not injected: injection would rewrite readyz\n\
         pod/other not injected: it has a container named probelet that is not the agent: rename that container\n"
    );
    assert_eq!(ended.stderr, "");
}

fn without_eligible_pods_there_is_no_output() {
    let folder = Folder::new();
    let pods = [injected(&folder, &owned("web-1")), service("web")];
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&pods));
    assert_eq!((written(&ended), &*ended.stderr), ("", ""));
}

/// A pod whose readiness probe runs this command.
fn running(name: &str, command: &str) -> String {
    pod(name).replace(
        "httpGet:\n        path: /ready\n        port: 8080",
        &format!("exec:\n        command: [{command}]"),
    )
}

fn exec_probes_that_could_be_converted_are_noted() {
    let folder = Folder::new();
    let curl = |name: &str| running(name, "curl, -f, 'http://localhost:8080/'");
    let annotated = |name: &str, value: &str| {
        let metadata = format!("  annotations:\n    probelet.dev/convert-exec: {value}\nspec:");
        curl(name).replacen("spec:", &metadata, 1)
    };
    let done = injected(
        &folder,
        &(pod("done")
            + "    livenessProbe:\n      exec:\n        command: [nc, -z, localhost, '1']\n"),
    );
    let pods = [
        curl("a"),
        running("cat", "cat, /ready"),
        annotated("off", "'false'"),
        injected(&folder, &annotated("on", "'true'")),
        curl("network").replacen("spec:", "spec:\n  hostNetwork: true", 1),
        done,
    ];
    const NOTE: &str =
        "could become probes by the sidecar, with annotation probelet.dev/convert-exec";
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&pods));
    assert_eq!(written(&ended), "", "a note is no finding");
    let expected = format!(
        "note: 2 exec probes {NOTE}: pod/a readinessProbe of web, pod/done livenessProbe of web\n"
    );
    assert_eq!(ended.stderr, expected);
    let ended = fed(
        &folder.0,
        &["audit", "-f", "-", "--config", "values.json"],
        &curl("a"),
    );
    assert_ne!(ended.status.code(), Some(0));
    folder.file("values.json", r#"{"probelet":{"convertExec":true}}"#);
    let ended = fed(
        &folder.0,
        &["audit", "-f", "-", "--config", "values.json"],
        &curl("a"),
    );
    assert_eq!(
        ended.stdout,
        "pod/a not injected: injection would rewrite readyz\n"
    );
    assert_eq!(ended.stderr, "");
    // The replicas of one controller count once.
    let of_owner = |name: &str, uid: &str| {
        let owner = format!(
            "  ownerReferences:\n  - {{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: {uid}, controller: true}}\nspec:"
        );
        curl(name).replacen("spec:", &owner, 1)
    };
    let replicas = [
        of_owner("a-1", "a-uid"),
        of_owner("a-2", "a-uid"),
        of_owner("b-1", "b-uid"),
        of_owner("a-3", "a-uid").replace("8080/", "8081/"),
    ];
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&replicas));
    let expected = format!(
        "note: 3 exec probes {NOTE}: pod/a-1 readinessProbe of web, pod/b-1 readinessProbe of web, pod/a-3 readinessProbe of web\n"
    );
    assert_eq!(ended.stderr, expected);
    let many: Vec<String> = ["a", "b", "c", "d", "e"].map(curl).into();
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&many));
    let expected = format!(
        "note: 5 exec probes {NOTE}: pod/a readinessProbe of web, pod/b readinessProbe of web, pod/c readinessProbe of web and 2 \
         more\n"
    );
    assert_eq!(ended.stderr, expected);
}

fn json_output_has_one_object_per_line() {
    let folder = Folder::new();
    let text = format!("{}---\n{}", owned("web-1"), pod("db"));
    let ended = fed(&folder.0, &["audit", "-f", "-", "--output", "json"], &text);
    assert_eq!(ended.status.code(), Some(1));
    let lines = ended.stdout.lines();
    let lines: Vec<serde_json::Value> = lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["resource"], &lines[0]["namespace"]),
        (&"pod/web-1".into(), &"shop".into())
    );
    assert_eq!(lines[1]["reason"], "injection would rewrite readyz");
    assert!(lines[1]["namespace"].is_null());
}

fn unreadable_documents_are_reported_with_the_list() {
    let folder = Folder::new();
    let text = format!("a: ]\n---\n{}", pod("db"));
    let ended = fed(&folder.0, &["audit", "-f", "-"], &text);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        ended.stdout,
        "pod/db not injected: injection would rewrite readyz\n"
    );
    assert!(
        ended.stderr.starts_with("stdin: document 1, line 1"),
        "{ended:?}"
    );
}

fn namespace(name: &str, label: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    {label}\n")
}

/// A pod in a namespace.
fn within(namespace: &str, name: &str) -> String {
    pod(name).replacen("spec:", &format!("  namespace: {namespace}\nspec:"), 1)
}

fn only_labelled_namespaces_are_audited() {
    let folder = Folder::new();
    let ours = namespace("shop", "probelet.dev/injection: enabled");
    let others = namespace("db", "probelet.dev/injection: disabled");
    let pods = [
        within("shop", "web"),
        within("db", "db"),
        within("lab", "x"),
        pod("bare"),
    ];
    let expected = "pod/web namespace=shop not injected: injection would rewrite readyz\n";
    let in_front = [&[ours.clone(), others.clone()], &pods[..]].concat();
    let after = [&pods[..], &[ours.clone(), others]].concat();
    for text in [list(&in_front), list(&after), after.join("---\n")] {
        let ended = fed(&folder.0, &["audit", "-f", "-"], &text);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!((&*ended.stdout, &*ended.stderr), (expected, ""));
    }
    // Files count together.
    folder.write("pods.yaml", &list(&pods));
    folder.write("ns.yaml", &ours);
    let ended = folder.run(&["audit", "-f", "pods.yaml", "-f", "ns.yaml"]);
    assert_eq!(ended.stdout, expected);
    let all_is_well = list(&[namespace("shop", "a: b"), within("shop", "web")]);
    let ended = fed(&folder.0, &["audit", "-f", "-"], &all_is_well);
    assert_eq!(written(&ended), "");
    let args = ["audit", "-f", "-", "--namespace-label", "a=b"];
    let ended = fed(&folder.0, &args, &all_is_well);
    assert_eq!(ended.stdout, expected);
}

fn ineligible_pods_are_not_listed() {
    let folder = Folder::new();
    let ended_as = |phase: &str| pod("job") + &format!("status:\n  phase: {phase}\n");
    let label = "probelet.dev/injection: enabled";
    let pods = [
        namespace("kube-system", label),
        namespace("default", label),
        within("kube-system", "dns"),
        within("kube-public", "a"),
        within("kube-node-lease", "b"),
        within("probelet-system", "c"),
        ended_as("Succeeded"),
        ended_as("Failed"),
    ];
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&pods));
    assert_eq!((written(&ended), &*ended.stderr), ("", ""));
    let other = ["audit", "-f", "-", "--webhook-namespace", "mesh"];
    let text = list(&[within("mesh", "a"), within("probelet-system", "b")]);
    assert_eq!(
        fed(&folder.0, &other, &text).stdout,
        "pod/b namespace=probelet-system not injected: injection would rewrite readyz\n"
    );
    let running = [&pods[..], &[ended_as("Running")]].concat();
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&running));
    assert_eq!(
        ended.stdout,
        "pod/job not injected: injection would rewrite readyz\n"
    );
}

fn a_misplaced_annotation_is_reported() {
    let folder = Folder::new();
    let wrong = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  annotations:\n    \
                 probelet.dev/image: a:1\nspec:\n  template:\n    spec:\n      containers:\n      - name: web\n";
    let ended = fed(&folder.0, &["audit", "-f", "-"], wrong);
    assert_eq!(written(&ended), "");
    let warning = "deployment/web warning: annotation probelet.dev/image has no effect in metadata of deployment/web";
    assert!(ended.stderr.starts_with(warning), "{ended:?}");
}

fn the_namespace_label_is_a_key_and_a_value() {
    let folder = Folder::new();
    let ended = folder.run(&["audit", "-f", "-", "--namespace-label", "enabled"]);
    let expected =
        "--namespace-label is \"enabled\": write KEY=VALUE, such as probelet.dev/injection=enabled";
    assert_refused(&ended, 2, &[expected]);
}

fn eligible_pod_templates_of_unknown_kinds_are_listed() {
    let folder = Folder::new();
    let rollout = |probe: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      \
             containers:\n      - name: web\n        readinessProbe: {{{probe}}}\n"
        )
    };
    let text = rollout("tcpSocket: {port: 80}");
    let ended = fed(&folder.0, &["audit", "-f", "-"], &text);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        ended.stdout,
        "rollout/web not injected: Rollout has a pod template at spec.template and is not a known kind: write \
         --kind-template rollouts.argoproj.io=spec.template\n"
    );
    let known = [
        "audit",
        "-f",
        "-",
        "--kind-template",
        "rollouts.argoproj.io=spec.template",
    ];
    let ended = fed(&folder.0, &known, &text);
    assert_eq!(
        ended.stdout,
        "rollout/web not injected: injection would rewrite readyz\n"
    );
    let ended = fed(
        &folder.0,
        &["audit", "-f", "-"],
        &rollout("exec: {command: [ok]}"),
    );
    assert_eq!(written(&ended), "");
}

const QUOTA: &str =
    r#"pods \"web-5d4-x7k\" is forbidden: failed quota: q: must specify limits.cpu for: probelet"#;

/// A ReplicaSet of a Deployment with an injected pod template or not, its number of pods, and the message of its condition.
fn replica_set(name: &str, pods: u32, message: &str) -> String {
    let condition = match message {
        "" => String::new(),
        message => format!(
            "  conditions:\n  - type: ReplicaFailure\n    status: \"True\"\n    message: \"{message}\"\n"
        ),
    };
    format!(
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata:\n  name: {name}\n  namespace: shop\n  uid: rs-{name}\n  \
         ownerReferences:\n  - kind: Deployment\n    name: web\n    uid: deployment-web\nspec:\n  replicas: 1\n  template:\n    \
         spec:\n      containers:\n      - name: web\n        readinessProbe: {{tcpSocket: {{port: 80}}}}\nstatus:\n  \
         replicas: {pods}\n{condition}"
    )
}

/// The Event of a rejected pod.
fn rejection(kind: &str, name: &str, message: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Event\nmetadata:\n  name: {name}.1\n  namespace: shop\nreason: FailedCreate\n\
         involvedObject:\n  kind: {kind}\n  name: {name}\n  namespace: shop\nmessage: \"Error creating: {message}\"\n"
    )
}

fn pods_that_the_sidecar_keeps_from_being_created_are_listed() {
    let folder = Folder::new();
    let line = |name: &str| {
        format!(
            "{name} namespace=shop cannot create pods with the sidecar: {}: set the sidecar's resources by annotation \
             probelet.dev/resources on the pod template, or by probelet.resources of the injector's ConfigMap\n",
            QUOTA.replace('\\', "")
        )
    };
    let event = rejection("ReplicaSet", "web-5d4", QUOTA);
    let replica_set = replica_set("web-5d4", 0, QUOTA);
    for items in [
        vec![event.clone()],
        vec![event.clone(), event.clone()],
        vec![replica_set.clone()],
        vec![event.clone(), replica_set.clone()],
        vec![replica_set, event],
    ] {
        let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&items));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(
            (&*ended.stdout, &*ended.stderr),
            (&*line("replicaset/web-5d4"), "")
        );
    }
    let events = list(&[rejection("StatefulSet", "db", QUOTA)]);
    let ended = fed(
        &folder.0,
        &["audit", "-f", "-", "--output", "json"],
        &events,
    );
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(
        (&json["resource"], &json["namespace"]),
        (&"statefulset/db".into(), &"shop".into())
    );
    let newer = rejection("DaemonSet", "logs", QUOTA)
        .replace("apiVersion: v1", "apiVersion: events.k8s.io/v1")
        .replace("involvedObject", "regarding")
        .replace("message", "note");
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&[newer]));
    assert_eq!(ended.stdout, line("daemonset/logs"));
}

fn pods_that_a_policy_rejects_are_listed_as_possibly_because_of_the_sidecar() {
    let folder = Folder::new();
    let message = r#"pods \"web-5d4-x7k\" is forbidden: ValidatingAdmissionPolicy 'a' with binding 'a' denied request: no"#;
    let event = rejection("ReplicaSet", "web-5d4", message);
    let expected = format!(
        "replicaset/web-5d4 namespace=shop cannot create pods, possibly because of the sidecar: {}: if `kubectl create \
         --dry-run=server` accepts the pod without the sidecar, as with the label probelet.dev/inject: \"false\", exempt \
         container probelet from this policy\n",
        message.replace('\\', "")
    );
    let off = replica_set("web-5d4", 0, "").replace(
        "template:\n    spec:",
        "template:\n    metadata:\n      labels:\n        probelet.dev/inject: \"false\"\n    spec:",
    );
    for (items, expected) in [
        (vec![event.clone()], &*expected),
        (
            vec![event.clone(), replica_set("web-5d4", 0, "")],
            &*expected,
        ),
        (vec![event.clone(), off], ""),
        (vec![event.clone(), replica_set("web-5d4", 1, "")], ""),
        (vec![event, namespace("shop", "a: b")], ""),
    ] {
        let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&items));
        assert_eq!((&*ended.stdout, &*ended.stderr), (expected, ""));
        assert_eq!(ended.status.code(), Some(i32::from(!expected.is_empty())));
    }
}

fn rejections_that_have_ended_or_have_other_causes_are_not_listed() {
    let folder = Folder::new();
    let event = |message: &str| rejection("ReplicaSet", "web-5d4", message);
    for items in [
        vec![event(&QUOTA.replace("for: probelet", "for: web"))],
        vec![event(QUOTA).replace("FailedCreate", "FailedDelete")],
        vec![event(QUOTA), replica_set("web-5d4", 1, "")],
        vec![event(QUOTA), replica_set("web-6f8", 1, "")],
        vec![event(QUOTA), namespace("shop", "a: b")],
    ] {
        let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&items));
        assert_eq!((written(&ended), &*ended.stderr), ("", ""));
    }
}

fn a_rejection_is_attributed_by_the_resources_of_the_template_and_the_namespace() {
    let folder = Folder::new();
    let message = "pods \\\"web-5d4-x7k\\\" is forbidden: exceeded quota: q, requested: limits.memory=164Mi, used: \
                   limits.memory=0, limited: limits.memory=100Mi";
    let annotations = |resources: &str| {
        format!(
            "annotations:\n    probelet.dev/resources: '{{\"limits\":{{\"memory\":\"{resources}\"}}}}'\n"
        )
    };
    let annotated = |resources: &str| {
        let annotations = annotations(resources).replace("    probelet", "          probelet");
        let template = format!("template:\n    metadata:\n        {annotations}    spec:");
        replica_set("web-5d4", 0, "").replace("template:\n    spec:", &template)
    };
    let shop = |resources: &str| {
        let namespace = namespace("shop", "probelet.dev/injection: enabled");
        format!("{namespace}  {}", annotations(resources))
    };
    let event = rejection("ReplicaSet", "web-5d4", message);
    let listed = |items: &[String]| {
        let ended = fed(&folder.0, &["audit", "-f", "-"], &list(items));
        assert_eq!(ended.stderr, "");
        ended.stdout.lines().count()
    };
    // The settings have 16Mi.
    assert_eq!(listed(&[event.clone(), replica_set("web-5d4", 0, "")]), 0);
    assert_eq!(listed(&[event.clone(), annotated("80Mi")]), 1);
    assert_eq!(listed(&[annotated("80Mi"), event.clone()]), 1);
    assert_eq!(listed(&[annotated("60Mi"), event.clone()]), 0);
    assert_eq!(listed(&[event.clone(), shop("80Mi")]), 1);
    assert_eq!(listed(&[event, annotated("60Mi"), shop("80Mi")]), 0);
    // Of two messages of a ReplicaSet, one is of the sidecar.
    let by_sidecar = message.replace("=164Mi", "=110Mi");
    let event = rejection("ReplicaSet", "web-5d4", &by_sidecar);
    let other = rejection("ReplicaSet", "web-5d4", message);
    assert_eq!(listed(&[other, event.clone(), event.clone()]), 1);
    // A pod without the sidecar.
    let off = replica_set("web-5d4", 0, "").replace(
        "template:\n    spec:",
        "template:\n    metadata:\n      labels:\n        probelet.dev/inject: \"false\"\n    spec:",
    );
    assert_eq!(listed(&[event, off]), 0);
}

fn pods_whose_sidecar_does_not_start_are_listed() {
    let folder = Folder::new();
    let waiting = |state: &str| {
        let pod = injected(&folder, &pod("web"));
        format!("{pod}status:\n  initContainerStatuses:\n  - name: probelet\n    state: {state}\n")
    };
    let state = "{waiting: {reason: ImagePullBackOff, message: Back-off pulling image}}";
    let ended = fed(&folder.0, &["audit", "-f", "-"], &waiting(state));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let expected = "pod/web cannot start: container probelet waits with ImagePullBackOff: Back-off pulling image: import ";
    assert!(ended.stdout.starts_with(expected), "{ended:?}");
    for state in ["{waiting: {reason: PodInitializing}}", "{running: {}}"] {
        let ended = fed(&folder.0, &["audit", "-f", "-"], &waiting(state));
        assert_eq!(written(&ended), "");
    }
}

fn controllers_whose_pods_are_in_the_input_are_not_listed() {
    let folder = Folder::new();
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  uid: deployment-web\nspec:\n  template:\n    \
                      spec:\n      containers:\n      - name: web\n        readinessProbe: {tcpSocket: {port: 80}}\n";
    let pod = injected(&folder, &owned("web-1")).replace("uid: 1", "uid: rs-web-5d4");
    let all = [deployment.to_owned(), replica_set("web-5d4", 1, ""), pod];
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&all));
    assert_eq!((written(&ended), &*ended.stderr), ("", ""));
    let ended = fed(&folder.0, &["audit", "-f", "-"], &list(&all[..2]));
    assert_eq!(
        ended.stdout,
        "deployment/web not injected: injection would rewrite readyz\n"
    );
}
