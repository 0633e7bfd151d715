//! Which body is evicted, and who gets its memory.

use super::*;
use core::future::{pending, ready};
use core::task::Waker;
use smol::future::{block_on, poll_once};

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 42, 0, n])
}

/// A body of this address that holds all of these bytes and whose client sends nothing.
fn stalled(memory: &BodyMemory, peer: u8, bytes: usize) -> Allocation<'_> {
    let mut body = memory.allocation(ip(peer), BodySize::of(bytes));
    block_on(body.grow(bytes, pending::<()>())).expect("memory");
    assert!(block_on(poll_once(body.while_client(pending::<()>()))).is_none());
    body
}

fn is_evicted(body: &Allocation<'_>) -> bool {
    body.with_holder(|holder| holder.is_evicted)
}

/// A time at which the bodies that wait for their clients now are slow.
fn later() -> Instant {
    Instant::now() + limits::SLOW_BODY
}

const SMALL: usize = limits::SMALL_BODY_BYTES;
const SMALL_TOTAL: usize = limits::SMALL_BODY_BYTES_TOTAL;
const LARGE: usize = limits::LARGE_BODY_BYTES_TOTAL / 4;

#[test]
fn large_bodies_take_nothing_of_the_memory_for_small_ones() {
    let memory = BodyMemory::new(Rc::default());
    let _large: Vec<_> = (0..4).map(|_| stalled(&memory, 1, LARGE)).collect();
    let _small = stalled(&memory, 2, SMALL);
    assert_eq!(memory.used_bytes(), limits::LARGE_BODY_BYTES_TOTAL + SMALL);
}

#[test]
fn no_body_is_evicted_while_none_waits_for_memory() {
    let memory = BodyMemory::new(Rc::default());
    let bodies: Vec<_> = (0..4).map(|_| stalled(&memory, 1, LARGE)).collect();
    memory.evict_slowest(later());
    assert!(!bodies.iter().any(is_evicted));
}

#[test]
fn the_body_whose_client_lets_us_wait_longest_is_evicted_for_one_that_waits() {
    let memory = BodyMemory::new(Rc::default());
    let mut bodies: Vec<_> = (0..4).map(|_| stalled(&memory, 1, LARGE)).collect();
    // The first one has waited in total for longer, although it received something just now.
    block_on(bodies[2].while_client(ready(()))).expect("it is not evicted");
    bodies[2].with_holder(|holder| holder.client_wait += Duration::from_secs(1));
    assert!(block_on(poll_once(bodies[2].while_client(pending::<()>()))).is_none());
    block_on(async {
        let mut next = memory.allocation(ip(2), BodySize::Large);
        let mut growing = Box::pin(next.grow(SMALL, pending::<()>()));
        assert!(poll_once(&mut growing).await.is_none());
        memory.evict_slowest(later());
        let evicted: Vec<_> = bodies.iter().map(is_evicted).collect();
        assert_eq!(evicted, [false, false, true, false]);
        // It is not evicted twice for the same bytes.
        memory.evict_slowest(later());
        assert_eq!(evicted_peers(&memory), [ip(1)]);
        assert_eq!(memory.evicted_count(), 0, "its bytes may have arrived");
        let error = bodies[2].while_client(pending::<()>()).await;
        assert_eq!(error, Err(MemoryError::Evicted));
        assert_eq!(memory.evicted_count(), 1);
        drop(bodies.remove(2));
        assert_eq!(growing.await, Ok(()));
    });
}

#[test]
fn a_body_is_not_slow_at_once() {
    let memory = BodyMemory::new(Rc::default());
    let bodies: Vec<_> = (0..4).map(|_| stalled(&memory, 1, LARGE)).collect();
    block_on(async {
        let mut next = memory.allocation(ip(2), BodySize::Large);
        let mut growing = Box::pin(next.grow(SMALL, pending::<()>()));
        assert!(poll_once(&mut growing).await.is_none());
        memory.evict_slowest(Instant::now());
        assert!(!bodies.iter().any(is_evicted));
        // One that is complete is not slow either, however long its review waits.
        for body in &bodies {
            body.while_client(ready(())).await.expect("not evicted");
        }
        memory.evict_slowest(later());
        assert!(!bodies.iter().any(is_evicted));
    });
}

#[test]
fn a_body_whose_bytes_have_arrived_is_spared_once() {
    let memory = BodyMemory::new(Rc::default());
    let bodies: Vec<_> = (0..4).map(|_| stalled(&memory, 1, LARGE)).collect();
    block_on(async {
        let mut next = memory.allocation(ip(2), BodySize::Large);
        let mut growing = Box::pin(next.grow(4 * LARGE, pending::<()>()));
        assert!(poll_once(&mut growing).await.is_none());
        for expected in [Ok(()), Err(MemoryError::Evicted)] {
            memory.evict_slowest(later());
            let read = bodies[0].while_client(ready(())).await;
            assert_eq!(read, Ok(()), "it has arrived");
            let next_read = poll_once(bodies[0].while_client(pending::<()>())).await;
            assert_eq!(next_read.unwrap_or(Ok(())), expected);
        }
    });
}

/// The addresses of the evicted bodies that have not ended yet.
fn evicted_peers(memory: &BodyMemory) -> Vec<IpAddr> {
    let holders = memory.large.holders.borrow();
    let evicted = holders.values().filter(|holder| holder.is_evicted);
    evicted.map(|holder| holder.peer).collect()
}

#[test]
fn many_that_wait_evict_no_more_than_the_next_one_of_them_needs() {
    let memory = BodyMemory::new(Rc::default());
    let bodies: Vec<_> = [1, 1, 1, 2]
        .into_iter()
        .map(|peer| stalled(&memory, peer, LARGE))
        .collect();
    bodies[0].with_holder(|holder| holder.client_wait += Duration::from_secs(1));
    block_on(async {
        let mut waiting: Vec<_> = (0..8)
            .map(|_| {
                let mut body = memory.allocation(ip(3), BodySize::Large);
                Box::pin(async move { body.grow(LARGE, pending::<()>()).await })
            })
            .collect();
        for growing in &mut waiting {
            assert!(poll_once(growing).await.is_none());
        }
        memory.evict_slowest(later());
        let evicted: Vec<_> = bodies.iter().map(is_evicted).collect();
        assert_eq!(evicted, [true, false, false, false]);
    });
}

#[test]
fn nothing_is_evicted_for_memory_that_is_granted_already() {
    let memory = BodyMemory::new(Rc::default());
    let mut bodies: Vec<_> = (0..4).map(|_| stalled(&memory, 1, LARGE)).collect();
    block_on(async {
        let mut next = memory.allocation(ip(2), BodySize::Large);
        let mut growing = Box::pin(next.grow(LARGE, pending::<()>()));
        assert!(poll_once(&mut growing).await.is_none());
        bodies.remove(0);
        memory.evict_slowest(later());
        assert!(!bodies.iter().any(is_evicted));
        assert_eq!(growing.await, Ok(()));
    });
}

#[test]
fn a_body_that_is_granted_memory_when_it_is_evicted_stays() {
    let memory = BodyMemory::new(Rc::default());
    let mut bodies: Vec<_> = (0..4).map(|_| stalled(&memory, 1, LARGE)).collect();
    block_on(async {
        let mut first = bodies.remove(0);
        let id = first.id;
        let mut growing = Box::pin(first.grow(2 * LARGE, pending::<()>()));
        assert!(poll_once(&mut growing).await.is_none());
        bodies.remove(0);
        memory.large.with(id, |holder| holder.is_evicted = true);
        assert_eq!(growing.await, Ok(()));
        let next_read = poll_once(first.while_client(pending::<()>())).await;
        assert_eq!(next_read, None);
    });
}

#[test]
fn a_body_whose_bytes_wait_to_be_read_is_not_slow() {
    let memory = BodyMemory::new(Rc::default());
    let _bodies: Vec<_> = (0..3).map(|_| stalled(&memory, 1, LARGE)).collect();
    block_on(async {
        let mut arrived = memory.allocation(ip(2), BodySize::Large);
        arrived.grow(LARGE, pending::<()>()).await.expect("memory");
        arrived.with_holder(|holder| holder.client_wait += Duration::from_secs(1));
        let mut socket: Option<Waker> = None;
        let read = poll_fn(|cx| {
            socket = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(poll_once(arrived.while_client(read)).await.is_none());
        let mut next = memory.allocation(ip(3), BodySize::Large);
        let mut growing = Box::pin(next.grow(SMALL, pending::<()>()));
        assert!(poll_once(&mut growing).await.is_none());
        socket.expect("a waker").wake();
        memory.evict_slowest(later());
        assert_eq!(evicted_peers(&memory), [ip(1)]);
    });
}

#[test]
fn time_that_the_webhook_spends_on_others_is_not_the_clients() {
    let cpu_time = Rc::new(Cell::new(Duration::ZERO));
    let memory = BodyMemory::new(cpu_time.clone());
    let body = stalled(&memory, 1, SMALL);
    cpu_time.set(Duration::from_secs(3600));
    block_on(body.while_client(ready(()))).expect("it is not evicted");
    assert_eq!(body.client_wait(), Duration::ZERO);
}

#[test]
fn bodies_that_all_wait_for_memory_lose_one_of_the_address_that_holds_most() {
    let memory = BodyMemory::new(Rc::default());
    let bodies: Vec<_> = [1, 2, 2, 3]
        .into_iter()
        .map(|peer| stalled(&memory, peer, LARGE))
        .collect();
    block_on(async {
        for body in &bodies {
            body.while_client(ready(())).await.expect("not evicted");
        }
        let mut growing: Vec<_> = bodies
            .into_iter()
            .map(|mut body| Box::pin(async move { body.grow(2 * LARGE, pending::<()>()).await }))
            .collect();
        for future in &mut growing[..3] {
            assert!(poll_once(future).await.is_none());
        }
        memory.evict_slowest(later());
        assert!(evicted_peers(&memory).is_empty(), "the last one may end");
        assert!(poll_once(&mut growing[3]).await.is_none());
        memory.evict_slowest(Instant::now());
        memory.evict_slowest(Instant::now());
        assert_eq!(evicted_peers(&memory), [ip(2)]);
        let second = poll_once(&mut growing[1]).await;
        assert_eq!(second, Some(Err(MemoryError::Evicted)));
    });
}

#[test]
fn the_address_that_holds_least_gets_memory_first() {
    let memory = BodyMemory::new(Rc::default());
    let mut bodies: Vec<_> = (0..SMALL_TOTAL / SMALL)
        .map(|_| stalled(&memory, 1, SMALL))
        .collect();
    block_on(async {
        let mut flood = memory.allocation(ip(1), BodySize::Small);
        let mut honest = memory.allocation(ip(2), BodySize::Small);
        let mut flood = Box::pin(flood.grow(SMALL, pending::<()>()));
        let mut honest = Box::pin(honest.grow(SMALL, pending::<()>()));
        assert!(poll_once(&mut flood).await.is_none());
        assert!(poll_once(&mut honest).await.is_none());
        bodies.pop();
        assert!(poll_once(&mut flood).await.is_none());
        assert_eq!(poll_once(&mut honest).await, Some(Ok(())));
    });
}

#[test]
fn memory_that_is_not_available_in_time_is_an_error() {
    let memory = BodyMemory::new(Rc::default());
    let _bodies: Vec<_> = (0..4).map(|_| stalled(&memory, 1, LARGE)).collect();
    let mut next = memory.allocation(ip(2), BodySize::Large);
    let grown = block_on(next.grow(LARGE, ready(())));
    assert_eq!(grown, Err(MemoryError::Timeout));
}

#[test]
fn a_response_that_is_not_read_is_evicted_for_a_body() {
    let memory = BodyMemory::new(Rc::default());
    let mut response = memory.allocation(ip(1), BodySize::Large);
    response.take(2 * limits::LARGE_BODY_BYTES_TOTAL);
    block_on(async {
        assert!(
            poll_once(response.while_client(pending::<()>()))
                .await
                .is_none()
        );
        memory.evict_slowest(later());
        let written = response.while_client(pending::<()>()).await;
        assert_eq!(written, Err(MemoryError::Evicted));
    });
}
