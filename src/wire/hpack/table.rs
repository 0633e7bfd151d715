//! The dynamic table (RFC 7541 section 2.3.2) in the caller's memory.
//!
//! An entry is contiguous, name before value, so that it can be borrowed. Twice the size of the table is always
//! enough for that: when an entry does not fit at the end, the start is free.

/// Size of the table: the default of SETTINGS_HEADER_TABLE_SIZE (RFC 9113 section 6.5.2), which Go does not change.
pub const TABLE_SIZE: usize = 4096;

/// Overhead of an entry in bytes (RFC 7541 section 4.1).
pub const ENTRY_OVERHEAD: usize = 32;

/// Maximal number of entries.
const ENTRIES: usize = TABLE_SIZE / ENTRY_OVERHEAD;

/// Bytes of one index entry: start, length of the name, length of the value.
const PLACE_BYTES: usize = 6;

const INDEX_BYTES: usize = ENTRIES * PLACE_BYTES;
const TEXT_BYTES: usize = 2 * TABLE_SIZE;

/// Memory of the table. Its initial contents are never read.
pub(super) const TABLE_BYTES: usize = INDEX_BYTES + TEXT_BYTES;

#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// Number of entries.
    len: u8,
    /// Index of the newest entry.
    newest: u8,
    /// Start of the next entry's text, if it fits there.
    head: u16,
    size: u16,
    max: u16,
}

impl Table {
    pub(super) const fn new() -> Self {
        Table {
            len: 0,
            newest: 0,
            head: 0,
            size: 0,
            max: TABLE_SIZE as u16,
        }
    }

    /// Size of all entries.
    pub(super) fn size(&self) -> usize {
        self.size.into()
    }

    /// Name and value of the entry that is `age` older than the newest.
    pub(super) fn entry<'m>(&self, age: usize, memory: &'m [u8]) -> Option<(&'m [u8], &'m [u8])> {
        if age >= self.len.into() {
            return None;
        }
        let (index, text) = memory.split_at(INDEX_BYTES);
        let [start, name, value] = read_place(index, self.place(age));
        Some(text[start..start + name + value].split_at(name))
    }

    /// Changes the maximum size (RFC 7541 section 4.3), at most [`TABLE_SIZE`].
    pub(super) fn resize(&mut self, max: u16, memory: &[u8]) {
        self.max = max;
        self.evict(usize::from(max), memory);
    }

    /// Adds an entry; one "larger than the maximum size causes the table to be emptied of all existing
    /// entries" (RFC 7541 section 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], memory: &mut [u8]) {
        let bytes = name.len() + value.len();
        let Some(room) = usize::from(self.max).checked_sub(bytes + ENTRY_OVERHEAD) else {
            self.clear();
            return;
        };
        self.evict(room, memory);
        let (index, text) = memory.split_at_mut(INDEX_BYTES);
        let start = match usize::from(self.head) {
            head if head + bytes <= TEXT_BYTES => head,
            _ => 0,
        };
        let (of_name, of_value) = text[start..start + bytes].split_at_mut(name.len());
        of_name.copy_from_slice(name);
        of_value.copy_from_slice(value);
        self.newest = (self.newest + 1) % ENTRIES as u8;
        self.len += 1;
        self.size += (bytes + ENTRY_OVERHEAD) as u16;
        self.head = (start + bytes) as u16;
        write_place(index, self.newest.into(), [start, name.len(), value.len()]);
    }

    fn clear(&mut self) {
        self.len = 0;
        self.size = 0;
        self.head = 0;
    }

    /// Evicts the oldest entries until the size is at most `size`.
    fn evict(&mut self, size: usize, memory: &[u8]) {
        while usize::from(self.size) > size {
            let oldest = self.place(usize::from(self.len) - 1);
            let [_, name, value] = read_place(memory, oldest);
            self.size -= (name + value + ENTRY_OVERHEAD) as u16;
            self.len -= 1;
        }
    }

    fn place(&self, age: usize) -> usize {
        (usize::from(self.newest) + ENTRIES - age) % ENTRIES
    }
}

fn read_place(index: &[u8], place: usize) -> [usize; 3] {
    let bytes = &index[place * PLACE_BYTES..][..PLACE_BYTES];
    [0, 2, 4].map(|at| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]])))
}

fn write_place(index: &mut [u8], place: usize, numbers: [usize; 3]) {
    let bytes = &mut index[place * PLACE_BYTES..][..PLACE_BYTES];
    for (number, to) in numbers.into_iter().zip(bytes.as_chunks_mut().0) {
        *to = (number as u16).to_le_bytes();
    }
}
