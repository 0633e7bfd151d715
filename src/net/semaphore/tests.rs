//! The order of permits, with a budget of bytes.

use super::*;
use smol::future::{block_on, poll_once};
use std::pin::pin;

/// A number of bytes, of which each permit takes some. A large request is not overtaken by small ones.
struct Bytes(usize);

impl Policy for Bytes {
    type Request = usize;

    const IS_STRICT: bool = true;

    fn try_take(&mut self, bytes: usize) -> bool {
        let rest = self.0.checked_sub(bytes);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn release(&mut self, bytes: usize) {
        self.0 += bytes;
    }
}

fn available(semaphore: &Semaphore<Bytes>) -> usize {
    semaphore.with_policy(|bytes| bytes.0)
}

#[test]
fn requests_that_do_not_fit_wait_in_order() {
    block_on(async {
        let semaphore = Semaphore::new(Bytes(10));
        let first = semaphore.acquire(8).await;
        let mut large = pin!(semaphore.acquire(5));
        assert!(poll_once(&mut large).await.is_none());
        let mut small = pin!(semaphore.acquire(1));
        // It would fit, but the large one is first.
        assert!(poll_once(&mut small).await.is_none());
        drop(first);
        let large = poll_once(large).await.expect("a permit");
        let small = poll_once(small).await.expect("a permit");
        assert_eq!(available(&semaphore), 4);
        drop((large, small));
        assert_eq!(available(&semaphore), 10);
    });
}

#[test]
fn a_waiter_that_gives_up_no_longer_blocks_the_next_one() {
    block_on(async {
        let semaphore = Semaphore::new(Bytes(10));
        let _first = semaphore.acquire(8).await;
        let mut next = pin!(semaphore.acquire(2));
        {
            let mut large = pin!(semaphore.acquire(5));
            assert!(poll_once(&mut large).await.is_none());
            assert!(poll_once(&mut next).await.is_none());
        }
        assert!(poll_once(next).await.is_some());
    });
}

#[test]
fn a_waiter_that_has_its_permit_blocks_nobody() {
    block_on(async {
        let semaphore = Semaphore::new(Bytes(10));
        let first = semaphore.acquire(8).await;
        let mut next = pin!(semaphore.acquire(5));
        assert!(poll_once(&mut next).await.is_none());
        drop(first);
        assert!(semaphore.try_acquire(5).is_some());
        assert!(semaphore.try_acquire(6).is_none());
        assert!(poll_once(next).await.is_some());
    });
}
