//! A fixed buffer for output of any length: output that did not fit or is already sent is generated again.

/// Skips the first `skip` bytes written to it, stores the following ones that fit, and counts all.
///
/// A head that is larger than the buffer, or that the socket accepted in part, is resumed: it is written again, with
/// the sent bytes as `skip`.
#[derive(Debug)]
pub struct Window<'a> {
    buf: &'a mut [u8],
    skip: usize,
    filled: usize,
    total: usize,
}

impl<'a> Window<'a> {
    /// A window on the output from byte `skip`, as long as `buf`.
    pub fn new(buf: &'a mut [u8], skip: usize) -> Self {
        Window {
            buf,
            skip,
            filled: 0,
            total: 0,
        }
    }

    /// Writes `bytes`.
    pub fn put(&mut self, bytes: &[u8]) {
        let skipped = self.skip.saturating_sub(self.total).min(bytes.len());
        let rest = &bytes[skipped..];
        let room = &mut self.buf[self.filled..];
        let fits = rest.len().min(room.len());
        room[..fits].copy_from_slice(&rest[..fits]);
        self.filled += fits;
        self.total += bytes.len();
    }

    /// The stored bytes.
    pub fn filled(&self) -> &[u8] {
        &self.buf[..self.filled]
    }

    /// Bytes written, stored or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Whether all bytes from `skip` are stored.
    pub fn is_whole(&self) -> bool {
        self.filled == self.total.saturating_sub(self.skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [&[u8]; 4] = [b"GET ", b"", b"/health", b" HTTP/1.1\r\n"];

    #[test]
    fn any_window_shows_its_part_of_the_output() {
        let whole = PIECES.concat();
        for skip in 0..whole.len() + 3 {
            for room in 0..whole.len() + 3 {
                let mut buf = vec![0; room];
                let mut window = Window::new(&mut buf, skip);
                PIECES.iter().for_each(|piece| window.put(piece));
                let start = skip.min(whole.len());
                let end = (start + room).min(whole.len());
                assert_eq!(window.filled(), &whole[start..end]);
                assert_eq!(window.total(), whole.len());
                assert_eq!(window.is_whole(), end == whole.len());
            }
        }
    }
}
