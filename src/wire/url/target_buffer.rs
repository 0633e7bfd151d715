//! A buffer of fixed size in which the request-target of a redirect is built.

/// The buffer is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// A buffer and the length of what is written to its start.
pub(super) struct TargetBuffer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> TargetBuffer<'a> {
    pub(super) fn new(buf: &'a mut [u8]) -> Self {
        TargetBuffer { buf, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, byte: u8) -> Result<(), Full> {
        self.extend(&[byte])
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = self.buf[self.len..].get_mut(..bytes.len()).ok_or(Full)?;
        room.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Inserts a leading slash if there is none.
    pub(super) fn ensure_leading_slash(&mut self) -> Result<(), Full> {
        if self.buf[..self.len].first() != Some(&b'/') {
            self.push(b'/')?;
            self.buf[..self.len].rotate_right(1);
        }
        Ok(())
    }

    /// Removes `.` and `..` segments from a path that is empty or begins with a slash, in place: the write position
    /// never passes the read position. Follows Go (`net/url`: `resolvePath`) where it differs from RFC 3986
    /// section 5.2.4: `/../a` and empty segments.
    pub(super) fn remove_dot_segments(&mut self) {
        let path = &mut self.buf[..self.len];
        let (mut written, mut read) = (0, 0);
        let mut slash_before = false;
        loop {
            let end = memchr::memchr(b'/', &path[read..]).map_or(path.len(), |i| read + i);
            let is_dots = matches!(&path[read..end], b"." | b"..");
            if &path[read..end] == b".." {
                written = memchr::memrchr(b'/', &path[..written]).unwrap_or(0);
                slash_before = written != 0;
            } else if &path[read..end] == b"." {
                slash_before = true;
            } else {
                if slash_before {
                    path[written] = b'/';
                    written += 1;
                }
                path.copy_within(read..end, written);
                written += end - read;
                slash_before = true;
            }
            if end == path.len() {
                if is_dots {
                    path[written] = b'/';
                    written += 1;
                }
                self.len = written;
                return;
            }
            read = end + 1;
        }
    }
}
