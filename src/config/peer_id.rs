//! The identities that `--inbound` listeners allow: SPIFFE IDs by pattern, DNS names, or every certificate of the CA. Pure:
//! the TLS server passes the names of a certificate that it has verified.

use super::settings_error::SettingRule;
use crate::limits;

/// How SPIFFE IDs begin (SPIFFE-ID, section 2).
const SPIFFE: &str = "spiffe://";

/// How patterns of DNS names begin.
const DNS: &str = "dns:";

/// The pattern that every certificate matches.
const ANY: &str = "any";

/// The end of a SPIFFE ID's pattern that matches one or more segments.
const REST: &str = "**";

/// The identities that a listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedIds {
    /// Every certificate that the CA signed.
    Any,
    /// Those that match one of these patterns.
    Patterns(Box<[IdPattern]>),
}

/// A pattern of identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdPattern {
    /// `any`
    Any,
    /// A SPIFFE ID. A segment `*` matches any one; `**` at the end matches one or more.
    Spiffe(Box<str>),
    /// `dns:NAME`: a DNS name, in any case.
    Dns(Box<str>),
}

impl AllowedIds {
    /// Whether a certificate with these names is allowed: all of its names of type URI and of type DNS, those that
    /// are not valid included if they are UTF-8. A SPIFFE ID must be its only URI (X509-SVID, section 2).
    pub fn permits<'a>(
        &self,
        mut uris: impl Iterator<Item = &'a str>,
        mut dns_names: impl Iterator<Item = &'a str>,
    ) -> bool {
        let patterns = match self {
            AllowedIds::Any => return true,
            AllowedIds::Patterns(patterns) => patterns,
        };
        let only_uri = uris.next().filter(|_| uris.next().is_none());
        only_uri.is_some_and(|uri| patterns.iter().any(|pattern| pattern.matches_uri(uri)))
            || dns_names.any(|name| patterns.iter().any(|pattern| pattern.matches_dns(name)))
    }
}

impl IdPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<IdPattern, SettingRule> {
        if text == ANY {
            return Ok(IdPattern::Any);
        }
        if let Some(name) = text.strip_prefix(DNS) {
            let name = is_dns_name(name).then(|| IdPattern::Dns(name.into()));
            return name.ok_or(SettingRule::IdDnsName);
        }
        let rest = text.strip_prefix(SPIFFE).ok_or(SettingRule::IdPattern)?;
        let (domain, path) = rest.split_once('/').ok_or(SettingRule::IdPath)?;
        if !is_trust_domain(domain) {
            return Err(SettingRule::IdTrustDomain);
        }
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let is_rest = segment == REST && segments.peek().is_none();
            if segment != "*" && !is_rest && !is_segment(segment) {
                return Err(match segment.contains('*') {
                    true => SettingRule::IdWildcard,
                    false => SettingRule::IdPath,
                });
            }
        }
        Ok(IdPattern::Spiffe(text.into()))
    }

    /// The trust domain of a SPIFFE ID's pattern.
    pub(super) fn trust_domain(&self) -> Option<&str> {
        match self {
            IdPattern::Spiffe(text) => Some(split(text)?.0),
            IdPattern::Any | IdPattern::Dns(_) => None,
        }
    }

    fn matches_uri(&self, uri: &str) -> bool {
        let IdPattern::Spiffe(pattern) = self else {
            return false;
        };
        let (Some((domain, path)), Some((id_domain, id_path))) = (split(pattern), parse_id(uri))
        else {
            return false;
        };
        domain == id_domain && matches_path(path, id_path)
    }

    fn matches_dns(&self, name: &str) -> bool {
        match self {
            IdPattern::Dns(pattern) => pattern.eq_ignore_ascii_case(name),
            IdPattern::Any | IdPattern::Spiffe(_) => false,
        }
    }
}

/// The trust domain of a URI that is a valid SPIFFE ID of a workload.
pub(super) fn trust_domain(uri: &str) -> Option<&str> {
    Some(parse_id(uri)?.0)
}

fn matches_path(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        match segments.next() {
            None => return false,
            Some(_) if expected == REST => return true,
            Some(segment) if expected != "*" && expected != segment => return false,
            Some(_) => {}
        }
    }
    segments.next().is_none()
}

/// Trust domain and path of a workload's SPIFFE ID, which has a path (X509-SVID, section 2).
fn parse_id(uri: &str) -> Option<(&str, &str)> {
    let (domain, path) = split(uri)?;
    let is_id = uri.len() <= limits::SPIFFE_ID_BYTES
        && is_trust_domain(domain)
        && path.split('/').all(is_segment);
    is_id.then_some((domain, path))
}

fn split(id: &str) -> Option<(&str, &str)> {
    id.strip_prefix(SPIFFE)?.split_once('/')
}

/// Whether this is a trust domain (SPIFFE-ID, section 2.1).
pub(super) fn is_trust_domain(text: &str) -> bool {
    let is_allowed = |b: u8| is_plain(b) && !b.is_ascii_uppercase();
    (1..=255).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Whether this is a segment of a path (SPIFFE-ID, section 2.2).
pub(super) fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.bytes().all(is_plain)
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')
}

/// Whether this is a DNS name without a wildcard: labels of letters, digits, `-` and `_`. An address is none: its last label is
/// a number.
fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str]) -> AllowedIds {
        let patterns = patterns.iter();
        let patterns = patterns.map(|text| IdPattern::parse(text).expect(text));
        AllowedIds::Patterns(patterns.collect())
    }

    fn permits(patterns: &[&str], uris: &[&str], dns_names: &[&str]) -> bool {
        let (uris, dns_names) = (uris.iter().copied(), dns_names.iter().copied());
        allowed(patterns).permits(uris, dns_names)
    }

    #[test]
    fn a_pattern_without_wildcards_matches_one_id() {
        let pattern = ["spiffe://td.example/ns/shop/sa/web"];
        assert!(permits(&pattern, &[pattern[0]], &[]));
        for id in [
            "spiffe://td.example/ns/shop/sa/web2",
            "spiffe://td.example/ns/shop/sa/Web",
            "spiffe://td.example/ns/shop/sa",
            "spiffe://td.example/ns/shop/sa/web/x",
            "spiffe://td.example/ns/shop/sa/web/",
            "spiffe://td.example.org/ns/shop/sa/web",
            "spiffe://TD.example/ns/shop/sa/web",
            "SPIFFE://td.example/ns/shop/sa/web",
            "https://td.example/ns/shop/sa/web",
            "spiffe://td.example/ns/shop/sa/web?x",
            "spiffe://td.example:1/ns/shop/sa/web",
            "spiffe://td.example",
            "",
        ] {
            assert!(!permits(&pattern, &[id], &[]), "{id}");
        }
    }

    #[test]
    fn a_star_matches_one_segment() {
        let pattern = ["spiffe://td/ns/*/sa/web"];
        for id in ["spiffe://td/ns/a/sa/web", "spiffe://td/ns/A-b_c.d/sa/web"] {
            assert!(permits(&pattern, &[id], &[]), "{id}");
        }
        for id in [
            "spiffe://td/ns/sa/web",
            "spiffe://td/ns//sa/web",
            "spiffe://td/ns/../sa/web",
            "spiffe://td/ns/./sa/web",
            "spiffe://td/ns/%2e/sa/web",
            "spiffe://td/ns/a/b/sa/web",
            "spiffe://td/ns/é/sa/web",
            "spiffe://td/ns/a/sa/web2",
        ] {
            assert!(!permits(&pattern, &[id], &[]), "{id}");
        }
        assert!(permits(&["spiffe://td/*"], &["spiffe://td/a"], &[]));
        assert!(!permits(&["spiffe://td/*"], &["spiffe://td/a/b"], &[]));
        assert!(!permits(&["spiffe://td/a"], &["spiffe://td/*"], &[]));
    }

    #[test]
    fn two_stars_at_the_end_match_one_or_more_segments() {
        let pattern = ["spiffe://td/ns/shop/**"];
        for id in ["spiffe://td/ns/shop/a", "spiffe://td/ns/shop/sa/web/x"] {
            assert!(permits(&pattern, &[id], &[]), "{id}");
        }
        for id in [
            "spiffe://td/ns/shop",
            "spiffe://td/ns/shop/",
            "spiffe://td/ns/shop/a//b",
            "spiffe://td/ns/shop/a/..",
            "spiffe://td/ns/shops/a",
            "spiffe://td2/ns/shop/a",
        ] {
            assert!(!permits(&pattern, &[id], &[]), "{id}");
        }
    }

    #[test]
    fn a_spiffe_id_is_the_only_uri() {
        let (pattern, id) = (["spiffe://td/**"], "spiffe://td/a");
        assert!(!permits(&pattern, &[], &[]));
        assert!(!permits(&pattern, &[id, id], &[]));
        assert!(!permits(&pattern, &[id, "https://example.org/"], &[]));
        assert!(!permits(&pattern, &["https://example.org/", id], &[]));
        assert!(!permits(&pattern, &[], &["spiffe://td/a"]));
        assert!(permits(&pattern, &[id], &["web.example.org"]));
    }

    #[test]
    fn an_id_that_is_too_long_matches_nothing() {
        let longest = format!("spiffe://td/{:a<1$}", "", limits::SPIFFE_ID_BYTES - 12);
        assert!(permits(&["spiffe://td/**"], &[&longest], &[]));
        let longer = format!("{longest}a");
        assert!(!permits(&["spiffe://td/**"], &[&longer], &[]));
    }

    #[test]
    fn a_dns_name_is_compared_whole_and_in_any_case() {
        let pattern = ["dns:web.Example.org"];
        for names in [&["WEB.example.org"][..], &["other", "web.example.org"]] {
            assert!(permits(&pattern, &[], names), "{names:?}");
        }
        for name in [
            "*.example.org",
            "a.web.example.org",
            "example.org",
            "web.example.org.",
            "web.example.org\0",
            "",
        ] {
            assert!(!permits(&pattern, &[], &[name]), "{name}");
        }
        assert!(!permits(&pattern, &["dns:web.example.org"], &[]));
        let uris = ["spiffe://td/a", "spiffe://td/b"];
        assert!(permits(&pattern, &uris, &["web.example.org"]));
    }

    #[test]
    fn one_of_several_patterns_suffices() {
        let patterns = ["spiffe://td/a", "dns:b.example", "spiffe://td/c/*"];
        assert!(permits(&patterns, &["spiffe://td/c/d"], &[]));
        assert!(permits(&patterns, &["spiffe://td/x"], &["b.example"]));
        assert!(!permits(&patterns, &["spiffe://td/x"], &["c.example"]));
    }

    #[test]
    fn any_allows_certificates_without_names() {
        assert!(AllowedIds::Any.permits([].into_iter(), [].into_iter()));
    }

    #[test]
    fn the_trust_domain_is_that_of_a_valid_id() {
        assert_eq!(trust_domain("spiffe://a.b-c_d/x/y"), Some("a.b-c_d"));
        for uri in [
            "spiffe://td",
            "spiffe://td/",
            "spiffe:///a",
            "spiffe://TD/a",
            "spiffe://td@x/a",
            "spiffe://td/a#b",
            "http://td/a",
        ] {
            assert_eq!(trust_domain(uri), None, "{uri}");
        }
    }

    #[test]
    fn an_invalid_pattern_breaks_a_rule() {
        let long = format!("spiffe://{:a<256}/x", "");
        for (text, rule) in [
            ("", SettingRule::IdPattern),
            ("*", SettingRule::IdPattern),
            ("Any", SettingRule::IdPattern),
            ("web", SettingRule::IdPattern),
            ("https://td/a", SettingRule::IdPattern),
            ("SPIFFE://td/a", SettingRule::IdPattern),
            ("spiffe://td", SettingRule::IdPath),
            ("spiffe://td/", SettingRule::IdPath),
            ("spiffe://td/a/", SettingRule::IdPath),
            ("spiffe://td/a//b", SettingRule::IdPath),
            ("spiffe://td/a/../b", SettingRule::IdPath),
            ("spiffe://td/a?b", SettingRule::IdPath),
            ("spiffe:///a", SettingRule::IdTrustDomain),
            ("spiffe://*/a", SettingRule::IdTrustDomain),
            ("spiffe://*.td/a", SettingRule::IdTrustDomain),
            ("spiffe://TD/a", SettingRule::IdTrustDomain),
            ("spiffe://td:1/a", SettingRule::IdTrustDomain),
            (&long, SettingRule::IdTrustDomain),
            ("spiffe://td/web-*", SettingRule::IdWildcard),
            ("spiffe://td/**/a", SettingRule::IdWildcard),
            ("spiffe://td/a/***", SettingRule::IdWildcard),
            ("dns:", SettingRule::IdDnsName),
            ("dns:*.example.org", SettingRule::IdDnsName),
            ("dns:web..example.org", SettingRule::IdDnsName),
            ("dns:web.example.org.", SettingRule::IdDnsName),
            ("dns:-a.example.org", SettingRule::IdDnsName),
            ("dns:10.0.0.1", SettingRule::IdDnsName),
            ("dns:é.example.org", SettingRule::IdDnsName),
        ] {
            assert_eq!(IdPattern::parse(text), Err(rule), "{text}");
        }
    }
}
