//! The static table (RFC 7541 appendix A), stored as text and offsets: pointers would be relocated, which costs each
//! process private memory.

const ENTRIES: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Number of entries; those of the dynamic table follow.
pub(super) const LEN: usize = ENTRIES.len();

const TEXT_BYTES: usize = {
    let (mut bytes, mut i) = (0, 0);
    while i < LEN {
        bytes += ENTRIES[i].0.len() + ENTRIES[i].1.len();
        i += 1;
    }
    bytes
};

static TEXT: [u8; TEXT_BYTES] = {
    let mut text = [0; TEXT_BYTES];
    let (mut at, mut i) = (0, 0);
    while i < LEN {
        let parts = [ENTRIES[i].0.as_bytes(), ENTRIES[i].1.as_bytes()];
        let mut part = 0;
        while part < parts.len() {
            let mut byte = 0;
            while byte < parts[part].len() {
                text[at] = parts[part][byte];
                (at, byte) = (at + 1, byte + 1);
            }
            part += 1;
        }
        i += 1;
    }
    text
};

/// The ends of name and value of each entry.
static ENDS: [[u16; 2]; LEN] = {
    let mut ends = [[0; 2]; LEN];
    let (mut at, mut i) = (0, 0);
    while i < LEN {
        let value = at + ENTRIES[i].0.len();
        at = value + ENTRIES[i].1.len();
        ends[i] = [value as u16, at as u16];
        i += 1;
    }
    ends
};

/// Name and value of entry number `index`, counted from 1.
pub(super) fn entry(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    let place = index.checked_sub(1)?;
    let [value, end] = ENDS.get(place)?.map(usize::from);
    let start = place.checked_sub(1).map_or(0, |before| ENDS[before][1]);
    Some((&TEXT[start.into()..value], &TEXT[value..end]))
}
