//! The CA certificates in the `caBundle` of the webhook's configuration. A CA stays there until newer ones displace it,
//! expired ones first: another replica may still serve its certificate, and the clock of this one may be ahead.

use crate::limits;
use crate::pem::{UnixSeconds, validity};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A CA of a bundle.
struct Ca<'b> {
    /// From `BEGIN` to `END`.
    pem: &'b str,
    der: CertificateDer<'static>,
    is_expired: bool,
}

/// The bundle that also has the CAs of `required`: these first, then those of `current`, of which the last ones are
/// dropped if there are more than [`limits::CA_BUNDLE_CERTIFICATES`], expired ones first. Expired CAs are not required.
/// `None` if `current` has them all.
pub fn with_required(current: &str, required: &[&str], now: UnixSeconds) -> Option<String> {
    let mut current = cas(current, now);
    let mut merged: Vec<Ca<'_>> = Vec::new();
    let required = required.iter().flat_map(|bundle| cas(bundle, now));
    for ca in required.filter(|ca| !ca.is_expired) {
        add(&mut merged, ca);
    }
    let contains = |cas: &[Ca<'_>], ca: &Ca<'_>| cas.iter().any(|other| other.der == ca.der);
    if merged.iter().all(|ca| contains(&current, ca)) {
        return None;
    }
    current.sort_by_key(|ca| ca.is_expired);
    for ca in current {
        if merged.len() < limits::CA_BUNDLE_CERTIFICATES {
            add(&mut merged, ca);
        }
    }
    Some(merged.iter().flat_map(|ca| [ca.pem, "\n"]).collect())
}

/// The newest CA of a bundle that has not expired, which is the first such one.
pub fn newest(bundle: &str, now: UnixSeconds) -> Option<String> {
    let newest = cas(bundle, now).into_iter().find(|ca| !ca.is_expired)?;
    Some([newest.pem, "\n"].concat())
}

fn add<'b>(cas: &mut Vec<Ca<'b>>, ca: Ca<'b>) {
    if cas.iter().all(|other| other.der != ca.der) {
        cas.push(ca);
    }
}

/// The CAs of a bundle, without other text. The API server ignores that, too.
fn cas(bundle: &str, now: UnixSeconds) -> Vec<Ca<'_>> {
    let now = now.max(limits::CLOCK_IS_SET_FROM);
    let mut cas = Vec::new();
    let mut rest = bundle;
    while let Some(end) = rest.find(END) {
        let (block, after) = rest.split_at(end + END.len());
        rest = after;
        let Some(pem) = block.rfind(BEGIN).map(|begin| &block[begin..]) else {
            continue;
        };
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
            continue;
        };
        let Some(validity) = validity(&der) else {
            continue;
        };
        if webpki::anchor_from_trusted_cert(&der).is_ok() {
            let is_expired = validity.not_after <= now;
            cas.push(Ca {
                pem,
                der,
                is_expired,
            });
        }
    }
    cas
}

#[cfg(test)]
mod tests;
