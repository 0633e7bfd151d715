//! The CA certificates in the `caBundle` of the webhook's configuration. A CA stays there until it expires or newer ones
//! displace it: another replica may still serve its certificate.

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
}

/// The bundle that also has the CAs of `required`: these first, then those of `current`, of which the last ones are
/// dropped if there are more than [`limits::CA_BUNDLE_CERTIFICATES`]. `None` if `current` has them all.
pub fn with_required(current: &str, required: &[&str], now: UnixSeconds) -> Option<String> {
    let current = valid_cas(current, now);
    let mut merged: Vec<Ca<'_>> = Vec::new();
    for ca in required.iter().flat_map(|bundle| valid_cas(bundle, now)) {
        add(&mut merged, ca);
    }
    let contains = |cas: &[Ca<'_>], ca: &Ca<'_>| cas.iter().any(|other| other.der == ca.der);
    if merged.iter().all(|ca| contains(&current, ca)) {
        return None;
    }
    for ca in current {
        if merged.len() < limits::CA_BUNDLE_CERTIFICATES {
            add(&mut merged, ca);
        }
    }
    Some(merged.iter().flat_map(|ca| [ca.pem, "\n"]).collect())
}

/// The newest CA of a bundle, which is its first one, if it is valid.
pub fn newest(bundle: &str, now: UnixSeconds) -> Option<String> {
    let newest = valid_cas(bundle, now).into_iter().next()?;
    Some([newest.pem, "\n"].concat())
}

fn add<'b>(cas: &mut Vec<Ca<'b>>, ca: Ca<'b>) {
    if cas.iter().all(|other| other.der != ca.der) {
        cas.push(ca);
    }
}

/// The CAs of a bundle that have not expired, without other text. The API server ignores that, too.
fn valid_cas(bundle: &str, now: UnixSeconds) -> Vec<Ca<'_>> {
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
        let is_valid = validity(&der).is_some_and(|validity| validity.not_after > now);
        if is_valid && webpki::anchor_from_trusted_cert(&der).is_ok() {
            cas.push(Ca { pem, der });
        }
    }
    cas
}

#[cfg(test)]
mod tests;
