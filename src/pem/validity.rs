//! Parses the validity period and the URIs of a certificate (RFC 5280 section 4), and formats times.

use std::time::SystemTime;

/// A Unix timestamp: seconds since 1970.
pub type UnixSeconds = u64;

/// The validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`
    pub not_before: UnixSeconds,
    /// `notAfter`
    pub not_after: UnixSeconds,
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`, which is present if the version is not 1.
const VERSION: u8 = 0xa0;

/// The current time.
pub fn unix_now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Parses the validity period; `None` if the bytes are not a certificate.
pub fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate, _) = element(der)?;
    let (_, mut signed, _) = element(certificate)?;
    if signed.first() == Some(&VERSION) {
        signed = element(signed)?.2;
    }
    // Serial number, signature algorithm and issuer precede it.
    for _ in 0..3 {
        signed = element(signed)?.2;
    }
    let (SEQUENCE, validity, _) = element(signed)? else {
        return None;
    };
    let (from_tag, from, rest) = element(validity)?;
    let (to_tag, to, _) = element(rest)?;
    Some(Validity {
        not_before: parse_time(from_tag, from)?,
        not_after: parse_time(to_tag, to)?,
    })
}

/// The names of type URI in a certificate's subject alternative names (RFC 5280 section 4.2.1.6), of which there may be
/// none. `None` if the extension is malformed, or a URI is not UTF-8.
pub fn uri_names(der: &[u8]) -> Option<Vec<&str>> {
    const EXTENSIONS: u8 = 0xa3;
    const OBJECT_ID: u8 = 0x06;
    const OCTET_STRING: u8 = 0x04;
    /// 2.5.29.17
    const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    /// `[6] IA5String`
    const URI: u8 = 0x86;
    let (_, certificate, _) = element(der)?;
    let (_, signed, _) = element(certificate)?;
    let mut names = Vec::new();
    for (tag, extensions) in elements(signed)? {
        if tag != EXTENSIONS {
            continue;
        }
        for (_, extension) in elements(element(extensions)?.1)? {
            let parts = elements(extension)?;
            let (Some((OBJECT_ID, SUBJECT_ALT_NAME)), Some((OCTET_STRING, value))) =
                (parts.first().copied(), parts.last().copied())
            else {
                continue;
            };
            for (tag, name) in elements(element(value)?.1)? {
                if tag == URI {
                    names.push(core::str::from_utf8(name).ok()?);
                }
            }
        }
    }
    Some(names)
}

/// The elements of DER, without their headers.
fn elements(mut der: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut elements = Vec::new();
    while !der.is_empty() {
        let (tag, contents, rest) = element(der)?;
        elements.push((tag, contents));
        der = rest;
    }
    Some(elements)
}

/// The first element of DER: its tag, its contents, and the bytes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Long form: the number of length bytes.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = digits
                .iter()
                .fold(0, |len, digit| len << 8 | usize::from(*digit));
            (len, rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((tag, contents, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn parse_time(tag: u8, text: &[u8]) -> Option<UnixSeconds> {
    let digits = text.strip_suffix(b"Z")?;
    let mut pairs = digits.chunks(2).map(|pair| match pair {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u64::from((a - b'0') * 10 + b - b'0')),
        _ => None,
    });
    let mut next = || pairs.next().flatten();
    let year = match tag {
        // RFC 5280 section 4.1.2.5.1.
        UTC_TIME => match next()? {
            year @ 50.. => 1900 + year,
            year => 2000 + year,
        },
        GENERALIZED_TIME => next()? * 100 + next()?,
        _ => return None,
    };
    let [month, day, hour, minute, second] = [next()?, next()?, next()?, next()?, next()?];
    let days = days_since_1970(year, month)? + day.checked_sub(1)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Parses a time in RFC 3339 format, in UTC and without fractions, as [`rfc3339`] and the API server write it.
pub fn parse_rfc3339(text: &str) -> Option<UnixSeconds> {
    let bytes = text.as_bytes();
    // `2026-11-28T14:00:00Z`
    let is_expected = bytes.len() == 20
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            19 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let digits = text.replace(['-', 'T', ':'], "");
    is_expected.then(|| parse_time(GENERALIZED_TIME, digits.as_bytes()))?
}

/// Days from 1970 to the first of a month; 0 for earlier months.
fn days_since_1970(year: u64, month: u64) -> Option<u64> {
    /// Days of a year before a month.
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let before = BEFORE.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    let is_leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let this_leap = u64::from(is_leap && month > 2);
    let past = year.checked_sub(1)?;
    let leaps = past / 4 - past / 100 + past / 400;
    // 477 leap days before 1970.
    let days = year * 365 + leaps + before + this_leap;
    Some(days.saturating_sub(1970 * 365 + 477))
}

/// The time in RFC 3339 format, in UTC.
pub fn rfc3339(seconds: UnixSeconds) -> String {
    let (days_past, of_day) = (seconds / 86_400, seconds % 86_400);
    let begins = |year, month| days_since_1970(year, month).unwrap_or(u64::MAX);
    let is_past = |year, month| begins(year, month) <= days_past;
    // No year has less than 365 days, so this is the year or a later one.
    let mut year = 1970 + days_past / 365;
    while !is_past(year, 1) {
        year -= 1;
    }
    let month = (1..=12).rfind(|month| is_past(year, *month)).unwrap_or(1);
    let day = days_past - begins(year, month) + 1;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests;
