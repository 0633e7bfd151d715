//! A fixed buffer for an output of any length: the output is generated again for each part that did not fit or was not
//! accepted by the socket.

/// Receives an output of any length and stores the part that starts at byte `skip` and fits into `buf`.
///
/// An output that is larger than the buffer, or that the socket accepted in part, is generated again with the number of
/// sent bytes as `skip`.
#[derive(Debug)]
pub struct OutputSlice<'a> {
    buf: &'a mut [u8],
    skip: usize,
    stored: usize,
    output_len: usize,
}

impl<'a> OutputSlice<'a> {
    /// The slice of the output from byte `skip`, as long as `buf`.
    pub fn new(buf: &'a mut [u8], skip: usize) -> Self {
        OutputSlice {
            buf,
            skip,
            stored: 0,
            output_len: 0,
        }
    }

    /// Adds `bytes` to the output.
    pub fn put(&mut self, bytes: &[u8]) {
        let skipped = self.skip.saturating_sub(self.output_len).min(bytes.len());
        let rest = &bytes[skipped..];
        let room = &mut self.buf[self.stored..];
        let fits = rest.len().min(room.len());
        room[..fits].copy_from_slice(&rest[..fits]);
        self.stored += fits;
        self.output_len += bytes.len();
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[..self.stored]
    }

    /// Bytes of the output so far, stored or not.
    pub fn output_len(&self) -> usize {
        self.output_len
    }

    /// Whether all bytes from `skip` are stored.
    pub fn is_complete(&self) -> bool {
        self.stored == self.output_len.saturating_sub(self.skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [&[u8]; 4] = [b"GET ", b"", b"/health", b" HTTP/1.1\r\n"];

    #[test]
    fn any_slice_stores_its_part_of_the_output() {
        let output = PIECES.concat();
        for skip in 0..output.len() + 3 {
            for room in 0..output.len() + 3 {
                let mut buf = vec![0; room];
                let mut slice = OutputSlice::new(&mut buf, skip);
                PIECES.iter().for_each(|piece| slice.put(piece));
                let start = skip.min(output.len());
                let end = (start + room).min(output.len());
                assert_eq!(slice.bytes(), &output[start..end]);
                assert_eq!(slice.output_len(), output.len());
                assert_eq!(slice.is_complete(), end == output.len());
            }
        }
    }
}
