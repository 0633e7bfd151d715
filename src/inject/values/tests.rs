//! Values of the ConfigMap, and errors.

use super::*;

#[test]
fn rewriting_is_enabled_by_default() {
    for (values, expected) in [
        ("{}", None),
        (r#"{"sidecarInjectorWebhook": {}}"#, None),
        (
            r#"{"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": true}}"#,
            Some(true),
        ),
        (
            r#"{"global":{"hub":"docker.io/istio"},"sidecarInjectorWebhook":{"rewriteAppHTTPProbe":false,"templates":{}}}"#,
            Some(false),
        ),
        (
            r#"{"sidecarInjectorWebhook": null, "probelet": null}"#,
            None,
        ),
    ] {
        let read = Values::read(values).map(|read| read.rewrite);
        assert_eq!(read, Ok(expected), "{values}");
    }
    assert!(Values::default().with_defaults().rewrite);
}

#[test]
fn every_field_of_probelet_is_read() {
    let values = r#"{"probelet": {"allowFrom": "10.42.1.0/24, fd00::1", "convertExec": true, "image": "r/p:1", "imagePullPolicy": "Always", "resources": {"limits": {}},
        "kindTemplates": "rollouts.argoproj.io=spec.template", "linkerdSkipPorts": true, "minTimeoutSeconds": 5, "runAsUser": 2000, "sidecar": "container", "sourceIp": "127.0.0.6", "startupProbe": true, "statusPort": 15021,
        "targetIp": "pod"}}"#;
    let read = Values::read(values).expect("values");
    assert!(FIELDS.iter().all(|(name, _)| values.contains(name)));
    let settings = read.with_defaults();
    let networks: Vec<_> = settings.allow_from.iter().map(Cidr::to_string).collect();
    assert_eq!(networks, ["10.42.1.0/24", "fd00::1/128"]);
    assert!(settings.convert_exec);
    assert_eq!(&*settings.image, "r/p:1");
    assert_eq!(settings.pull_policy.as_deref(), Some("Always"));
    assert!(settings.linkerd_skip_ports);
    assert_eq!(settings.resources, json!({"limits": {}}));
    assert_eq!(settings.min_timeout, 5);
    assert_eq!(settings.run_as_user, RunAsUser::Id(2000));
    assert_eq!(settings.sidecar, Sidecar::Container);
    assert_eq!(settings.source_ip, Some([127, 0, 0, 6].into()));
    assert!(settings.startup_probe);
    assert_eq!(settings.status_port, 15021);
    assert_eq!(settings.target, Target::Pod);
}

#[test]
fn first_values_take_precedence() {
    let first = Values {
        status_port: Some(1),
        ..Values::default()
    };
    let second = Values {
        status_port: Some(2),
        image: Some("a".into()),
        ..Values::default()
    };
    let both = first.or(second).with_defaults();
    assert_eq!((both.status_port, &*both.image), (1, "a"));
}

#[test]
fn errors_name_the_field_and_what_to_write() {
    for (values, expected) in [
        (
            "{",
            "values is not valid JSON at line 1, column 1: write an object such as ",
        ),
        ("[]", "values is a list: write an object such as {}"),
        (
            r#"{"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": "false"}}"#,
            r#"sidecarInjectorWebhook.rewriteAppHTTPProbe is "false": write true or false, without quotes"#,
        ),
        (
            r#"{"sidecarInjectorWebhook": {"rewriteAppHTTPProbers": false}}"#,
            "unknown field sidecarInjectorWebhook.rewriteAppHTTPProbers: did you mean sidecarInjectorWebhook.rewriteAppHTTPProbe?",
        ),
        (
            r#"{"sidecarInjectorWebhook": true}"#,
            "sidecarInjectorWebhook is true: write an object such as {}",
        ),
        (
            r#"{"probelet": {"statusPorts": 1}}"#,
            "unknown field probelet.statusPorts: did you mean probelet.statusPort?",
        ),
        (
            r#"{"probelet": {"rewrite": false}}"#,
            "unknown field probelet.rewrite: write one of allowFrom, convertExec, image, imagePullPolicy, kindTemplates, \
             linkerdSkipPorts, minTimeoutSeconds, resources, runAsUser, sidecar, sourceIp, startupProbe, statusPort, targetIp",
        ),
        (
            r#"{"probelet": {"statusPort": 0}}"#,
            "probelet.statusPort is 0: write a port from 1 to 65535",
        ),
        (
            r#"{"probelet": {"statusPort": "+15020"}}"#,
            r#"probelet.statusPort is "+15020": write a port from 1 to 65535"#,
        ),
        (
            r#"{"probelet": {"resources": "16Mi"}}"#,
            r#"probelet.resources is "16Mi": write an object such as {"limits":{"memory":"16Mi"}}"#,
        ),
        (
            r#"{"probelet": {"resources": {"limits": {"memory": "16Mib"}}}}"#,
            r#"probelet.resources: limits.memory is "16Mib": write a quantity such as 16Mi, 100m or 0.5"#,
        ),
        (
            r#"{"probelet": {"resources": {"limit": {"memory": "16Mi"}}}}"#,
            r#"probelet.resources: unknown field "limit": did you mean limits? Write requests and limits"#,
        ),
        (
            r#"{"probelet": {"image": "a b"}}"#,
            r#"probelet.image is "a b": write a name such as registry.example/probelet:1.0"#,
        ),
        (
            r#"{"probelet": {"sidecar": "istio"}}"#,
            r#"probelet.sidecar is "istio": write native or container"#,
        ),
    ] {
        let error = Values::read(values).expect_err(values);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn flags_take_precedence_over_the_configmap_and_the_version() {
    let with_sidecar = |sidecar| Values {
        sidecar,
        ..Values::default()
    };
    let (native, container) = (Some(Sidecar::Native), Some(Sidecar::Container));
    let (old, new) = (
        Some(KubernetesVersion::new(1, 28)),
        Some(KubernetesVersion::new(1, 29)),
    );
    for (flags, config, version, expected) in [
        (native, container, old, Sidecar::Native),
        (container, native, new, Sidecar::Container),
        (None, native, old, Sidecar::Native),
        (None, container, new, Sidecar::Container),
        (None, None, old, Sidecar::Container),
        (None, None, new, Sidecar::Native),
        (None, None, None, Sidecar::Native),
    ] {
        let settings = Settings::resolve(with_sidecar(flags), with_sidecar(config), version);
        let case = format!("{flags:?} {config:?} {version:?}");
        assert_eq!(settings.sidecar, expected, "{case}");
    }
}

#[test]
fn kind_templates_are_checked() {
    let set = |text: &str| Values::default().set_from_text(KIND_TEMPLATES, text);
    for text in [
        "rollouts.argoproj.io=spec.template",
        "Rollout.argoproj.io=.spec.template, CloneSets.apps.kruise.io=spec.template",
        "jobs.batch.volcano.sh=spec.tasks[*].template",
        "services.serving.knative.dev=none",
        "sidecarsets.apps.kruise.io=.",
        "deployments.apps=spec.template",
        "widgets=template",
    ] {
        assert_eq!(set(text), Ok(()), "{text}");
    }
    let example = InvalidText::Write(kind_templates::EXAMPLE);
    for text in [
        "",
        "rollouts.argoproj.io",
        "rollouts.argoproj.io=",
        "=spec.template",
        "rollouts..io=spec.template",
        "rollouts.argoproj.io=spec..template",
        "rollouts.argoproj.io=spec.template,",
        "rollouts.argoproj.io=spec.tasks[0].template",
        "rollouts.argoproj.io=spec template",
    ] {
        assert_eq!(set(text), Err(example.clone()), "{text}");
    }
    let knative = InvalidText::Write(kind_templates::KNATIVE);
    assert_eq!(
        set("Service.serving.knative.dev=spec.template"),
        Err(knative)
    );
    for text in ["deployments.apps=template", "cronjobs.batch=none"] {
        assert!(set(text).is_err(), "{text}");
    }
}

#[test]
fn kinds_of_flags_replace_those_of_the_configmap() {
    let values = |text: &str| {
        let mut values = Values::default();
        values.set_from_text(KIND_TEMPLATES, text).expect("a kind");
        values
    };
    let both = values("a.example=x").or(values("b.example=y,a.example=z"));
    assert_eq!(both, values("a.example=x,b.example=y"));
}
