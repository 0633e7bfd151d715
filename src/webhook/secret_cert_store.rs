//! Shares the self-signed certificate between replicas: a Secret stores it, and the `caBundle` of the
//! MutatingWebhookConfiguration publishes its CA.

use super::api_client::{
    ApiClient, ApiError, RequestBody, check_object_name, own_namespace, unexpected_status,
};
use super::ca_bundle;
use super::options::SelfSignedNames;
use super::self_signed::CertBundle;
use crate::limits;
use crate::pem::UnixSeconds;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::rc::Rc;

/// The Secret and the webhook's configuration.
#[derive(Debug)]
pub struct SecretCertStore {
    client: Rc<ApiClient>,
    /// `SERVICE.NAMESPACE.svc`, the name that the API server verifies.
    dns_name: String,
    secret_name: Box<str>,
    secret_collection_path: String,
    secret_path: String,
    configuration_path: String,
}

impl SecretCertStore {
    /// Builds the paths of the objects.
    ///
    /// # Errors
    /// A name is missing or malformed.
    pub fn new(
        client: Rc<ApiClient>,
        names: &SelfSignedNames,
        configuration_path: String,
    ) -> Result<SecretCertStore, ApiError> {
        let namespace = names.namespace.clone().or_else(own_namespace);
        let namespace = namespace.ok_or_else(|| {
            ApiError("the namespace of the Service is unknown: write --namespace NAME".into())
        })?;
        let all = [
            ("--service", &names.service),
            ("--namespace", &namespace),
            ("--secret", &names.secret),
        ];
        for (flag, name) in all {
            check_object_name(flag, name)?;
        }
        let secret_collection_path = format!("/api/v1/namespaces/{namespace}/secrets");
        Ok(SecretCertStore {
            client,
            dns_name: format!("{}.{namespace}.svc", names.service),
            secret_path: format!("{secret_collection_path}/{}", names.secret),
            secret_collection_path,
            secret_name: names.secret.clone(),
            configuration_path,
        })
    }

    /// Returns the certificate of the Secret, after replacing it if it is not fresh, and after publishing its CA. Publishes
    /// `served_ca` in any case: the CA of the certificate that this replica serves, which may be another one.
    ///
    /// # Errors
    /// No response of the API server, or an unexpected one.
    pub async fn sync(
        &self,
        served_ca: Option<&str>,
        now: UnixSeconds,
    ) -> Result<CertBundle, ApiError> {
        let bundle = self.get_or_renew(served_ca, now).await;
        let new_ca = bundle.as_ref().ok().map(|bundle| &*bundle.ca);
        let required: Vec<&str> = new_ca.into_iter().chain(served_ca).collect();
        let published = self.publish_cas(&required, now).await;
        let bundle = bundle?;
        published.map(|()| bundle)
    }

    /// Returns the certificate of the Secret. Generates a new one and stores it if there is none or it is not fresh.
    async fn get_or_renew(
        &self,
        served_ca: Option<&str>,
        now: UnixSeconds,
    ) -> Result<CertBundle, ApiError> {
        for _ in 0..limits::SECRET_ATTEMPTS {
            let (status, secret) = self.client.send("GET", &self.secret_path, None).await?;
            let bundle = match status {
                200 => parse_secret(&secret),
                404 => None,
                _ => return Err(unexpected_status("GET", &self.secret_path, status, &secret)),
            };
            let is_fresh = |bundle: &&CertBundle| bundle.is_fresh(&self.dns_name, now);
            if let Some(bundle) = bundle.as_ref().filter(is_fresh) {
                return Ok(bundle.clone());
            }
            let previous_ca = served_ca.or(bundle.as_ref().map(|bundle| &*bundle.ca));
            let created = CertBundle::generate(&self.dns_name, previous_ca, now)
                .map_err(|why| ApiError(format!("cannot generate a certificate: {why}").into()))?;
            let (method, path, object) = match status {
                200 => (
                    "PUT",
                    &self.secret_path,
                    secret_with_bundle(secret, &created),
                ),
                _ => (
                    "POST",
                    &self.secret_collection_path,
                    self.new_secret(&created),
                ),
            };
            let body = RequestBody::json(&object);
            match self.client.send(method, path, Some(body)).await? {
                (200 | 201, _) => return Ok(created),
                // Another replica was faster, or the Secret has just been deleted: read it again in the next round.
                (404 | 409, _) if method == "PUT" => {}
                (409, _) => {}
                (status, body) => return Err(unexpected_status(method, path, status, &body)),
            }
        }
        let path = &self.secret_path;
        Err(ApiError(
            format!(
                "{path} changed during each of {} attempts to update it: check for another controller that writes \
                 this Secret",
                limits::SECRET_ATTEMPTS
            )
            .into(),
        ))
    }

    fn new_secret(&self, bundle: &CertBundle) -> Value {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": *self.secret_name},
            "type": "kubernetes.io/tls",
        });
        secret_with_bundle(secret, bundle)
    }

    /// Adds these CAs to each `caBundle` that lacks one of them.
    async fn publish_cas(&self, required: &[&str], now: UnixSeconds) -> Result<(), ApiError> {
        let path = &self.configuration_path;
        let mut attempt = 1;
        loop {
            let (status, configuration) = self.client.send("GET", path, None).await?;
            if status != 200 {
                return Err(unexpected_status("GET", path, status, &configuration));
            }
            let patch = ca_patch(&configuration, required, now);
            if patch.is_empty() {
                return Ok(());
            }
            let patch = Value::from(patch);
            let body = RequestBody::json_patch(&patch);
            match self.client.send("PATCH", path, Some(body)).await? {
                (200, _) => return Ok(()),
                // Another replica was faster: the API server returns 422 for a failed `test`.
                (409 | 422, _) if attempt < limits::SECRET_ATTEMPTS => attempt += 1,
                (status, body) => return Err(unexpected_status("PATCH", path, status, &body)),
            }
        }
    }
}

/// The JSON patch (RFC 6902) that adds the missing CAs to each `caBundle`; empty if none is missing.
fn ca_patch(configuration: &Value, required: &[&str], now: UnixSeconds) -> Vec<Value> {
    let mut patch = Vec::new();
    let webhooks = configuration["webhooks"].as_array();
    for (index, webhook) in webhooks.into_iter().flatten().enumerate() {
        let current = webhook["clientConfig"]["caBundle"].as_str();
        let current = current.and_then(|text| STANDARD.decode(text).ok());
        let current = String::from_utf8_lossy(current.as_deref().unwrap_or_default());
        if let Some(merged) = ca_bundle::with_required(&current, required, now) {
            let path = format!("/webhooks/{index}/clientConfig/caBundle");
            patch.push(json!({"op": "add", "path": path, "value": STANDARD.encode(merged)}));
        }
    }
    if !patch.is_empty() {
        // Another replica may have added its CA since the configuration was read.
        let version = &configuration["metadata"]["resourceVersion"];
        let path = "/metadata/resourceVersion";
        patch.insert(0, json!({"op": "test", "path": path, "value": version}));
    }
    patch
}

fn parse_secret(secret: &Value) -> Option<CertBundle> {
    let member = |name: &str| -> Option<Box<str>> {
        let bytes = STANDARD.decode(secret["data"][name].as_str()?).ok()?;
        Some(String::from_utf8(bytes).ok()?.into())
    };
    Some(CertBundle {
        certificate: member("tls.crt")?,
        key: member("tls.key")?,
        ca: member("ca.crt")?,
    })
}

/// The Secret with this bundle. Its `resourceVersion` stays, so that a concurrent change is a conflict.
fn secret_with_bundle(mut secret: Value, bundle: &CertBundle) -> Value {
    secret["data"] = json!({
        "tls.crt": STANDARD.encode(&*bundle.certificate),
        "tls.key": STANDARD.encode(&*bundle.key),
        "ca.crt": STANDARD.encode(&*bundle.ca),
    });
    secret
}
