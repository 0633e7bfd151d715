//! A fixed piece of memory through which output of any length is written: what does not fit, or was
//! sent before, is generated again.

/// Drops the first `skip` bytes written to it, keeps what fits after them, and counts all.
///
/// A head larger than the scratch memory, or one the socket took only in part, is resumed by writing
/// it again with `skip` at what has been sent.
#[derive(Debug)]
pub struct Window<'a> {
    buf: &'a mut [u8],
    skip: usize,
    filled: usize,
    total: usize,
}

impl<'a> Window<'a> {
    /// A window on the output from byte `skip` on, as long as `buf`.
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
        let seen = self.skip.saturating_sub(self.total).min(bytes.len());
        let rest = &bytes[seen..];
        let room = &mut self.buf[self.filled..];
        let fits = rest.len().min(room.len());
        room[..fits].copy_from_slice(&rest[..fits]);
        self.filled += fits;
        self.total += bytes.len();
    }

    /// What was kept.
    pub fn filled(&self) -> &[u8] {
        &self.buf[..self.filled]
    }

    /// Bytes written, those dropped included.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Whether everything from `skip` on was kept.
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
