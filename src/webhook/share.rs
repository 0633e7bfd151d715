//! The certificate of our own as replicas share it: in a Secret, with its CA in the webhook's configuration.

use super::api::{ApiError, Client, own_namespace};
use super::self_signed::Bundle;
use super::validity::Seconds;
use super::{Error, Names};
use crate::limits;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::rc::Rc;

/// Where the certificate is shared.
#[derive(Debug)]
pub struct Sharing {
    client: Rc<Client>,
    /// `SERVICE.NAMESPACE.svc`, by which the API server comes here.
    name: String,
    secret: Box<str>,
    /// Paths of the namespace's Secrets, of ours, and of the webhook's configuration.
    secrets_path: String,
    secret_path: String,
    webhook_path: String,
}

impl Sharing {
    /// Where these names lead.
    ///
    /// # Errors
    /// When a name is missing or is none.
    pub fn new(client: Rc<Client>, names: &Names) -> Result<Sharing, Error> {
        let namespace = names.namespace.clone().or_else(own_namespace);
        let namespace = namespace.ok_or_else(|| {
            Error::Api("no namespace is known: say --namespace, where the Service is".into())
        })?;
        let all = [&names.service, &namespace, &names.secret, &names.webhook];
        let is_name = |name: &str| {
            let is_legal =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            !name.is_empty() && name.chars().all(is_legal)
        };
        if let Some(wrong) = all.into_iter().find(|name| !is_name(name)) {
            let why = format!("{wrong:?} is no name: write lower-case letters, digits, - and .");
            return Err(Error::Api(why.into()));
        }
        let secrets_path = format!("/api/v1/namespaces/{namespace}/secrets");
        let webhooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        Ok(Sharing {
            client,
            name: format!("{}.{namespace}.svc", names.service),
            secret_path: format!("{secrets_path}/{}", names.secret),
            secrets_path,
            secret: names.secret.clone(),
            webhook_path: format!("{webhooks}/{}", names.webhook),
        })
    }

    /// The certificate that is shared, or a new one, whose CA the API server knows when this is done.
    ///
    /// # Errors
    /// What the API server says, or why it says nothing.
    pub async fn obtain(&self, now: Seconds) -> Result<Bundle, ApiError> {
        let bundle = self.shared(now).await?;
        self.make_known(&bundle.ca).await?;
        Ok(bundle)
    }

    async fn shared(&self, now: Seconds) -> Result<Bundle, ApiError> {
        for _ in 0..limits::SECRET_TRIES {
            let (status, secret) = self.client.ask("GET", &self.secret_path, None).await?;
            let bundle = match status {
                200 => read(&secret),
                404 => None,
                _ => return Err(refused("GET", &self.secret_path, status, &secret)),
            };
            if let Some(bundle) = bundle.as_ref().filter(|b| b.is_fresh(&self.name, now)) {
                return Ok(bundle.clone());
            }
            let older = bundle.as_ref().map(|bundle| &*bundle.ca);
            let made = Bundle::make(&self.name, older, now);
            let made = made.map_err(|why| ApiError(format!("no certificate: {why}").into()))?;
            let (method, path, body) = match status {
                200 => ("PUT", &self.secret_path, with(secret, &made)),
                _ => ("POST", &self.secrets_path, self.new_secret(&made)),
            };
            let sent = Some(("application/json", &body));
            match self.client.ask(method, path, sent).await? {
                (200 | 201, _) => return Ok(made),
                // Another replica was quicker: what it wrote counts.
                (409, _) => {}
                (status, answer) => return Err(refused(method, path, status, &answer)),
            }
        }
        let path = &self.secret_path;
        Err(ApiError(
            format!("{path} is changed again and again by others").into(),
        ))
    }

    fn new_secret(&self, bundle: &Bundle) -> Value {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": *self.secret},
            "type": "kubernetes.io/tls",
        });
        with(secret, bundle)
    }

    /// Writes the CA into the webhook's configuration, wherever another stands there.
    async fn make_known(&self, ca: &str) -> Result<(), ApiError> {
        let path = &self.webhook_path;
        let (status, configuration) = self.client.ask("GET", path, None).await?;
        if status != 200 {
            return Err(refused("GET", path, status, &configuration));
        }
        let ca = STANDARD.encode(ca);
        let webhooks = configuration["webhooks"].as_array();
        let mut patch = Vec::new();
        for (index, webhook) in webhooks.into_iter().flatten().enumerate() {
            if webhook["clientConfig"]["caBundle"] != *ca {
                let at = format!("/webhooks/{index}");
                // Somebody may have put another there meanwhile.
                patch.push(
                    json!({"op": "test", "path": format!("{at}/name"), "value": webhook["name"]}),
                );
                let bundle = format!("{at}/clientConfig/caBundle");
                patch.push(json!({"op": "add", "path": bundle, "value": ca}));
            }
        }
        if patch.is_empty() {
            return Ok(());
        }
        let patch = Value::from(patch);
        let sent = Some(("application/json-patch+json", &patch));
        match self.client.ask("PATCH", path, sent).await? {
            (200, _) => Ok(()),
            (status, answer) => Err(refused("PATCH", path, status, &answer)),
        }
    }
}

fn refused(method: &str, path: &str, status: u16, answer: &Value) -> ApiError {
    let why = answer["message"].as_str().unwrap_or("no reason given");
    ApiError(format!("{method} {path} is answered {status}: {why}").into())
}

fn read(secret: &Value) -> Option<Bundle> {
    let member = |name: &str| -> Option<Box<str>> {
        let bytes = STANDARD.decode(secret["data"][name].as_str()?).ok()?;
        Some(String::from_utf8(bytes).ok()?.into())
    };
    Some(Bundle {
        certificate: member("tls.crt")?,
        key: member("tls.key")?,
        ca: member("ca.crt")?,
    })
}

/// A Secret with this in it; its `resourceVersion` stays, so that nobody's change is lost.
fn with(mut secret: Value, bundle: &Bundle) -> Value {
    secret["data"] = json!({
        "tls.crt": STANDARD.encode(&*bundle.certificate),
        "tls.key": STANDARD.encode(&*bundle.key),
        "ca.crt": STANDARD.encode(&*bundle.ca),
    });
    secret
}
