use super::Budget;
use smol::future::{block_on, poll_once};
use std::pin::pin;

#[test]
fn whoever_finds_no_room_waits_in_line() {
    block_on(async {
        let budget = Budget::new(10);
        let first = budget.take(8).await;
        let mut large = pin!(budget.take(5));
        assert!(poll_once(&mut large).await.is_none());
        let mut small = pin!(budget.take(1));
        // There is room for it, but it is not its turn.
        assert!(poll_once(&mut small).await.is_none());
        drop(first);
        let large = poll_once(large).await.expect("its turn");
        let small = poll_once(small).await.expect("its turn");
        assert_eq!(budget.free(), 4);
        drop((large, small));
        assert_eq!(budget.free(), 10);
    });
}

#[test]
fn whoever_gives_up_lets_the_next_one_go() {
    block_on(async {
        let budget = Budget::new(10);
        let _first = budget.take(8).await;
        {
            let mut large = pin!(budget.take(5));
            assert!(poll_once(&mut large).await.is_none());
        }
        assert!(poll_once(pin!(budget.take(2))).await.is_some());
    });
}

#[test]
fn what_is_over_is_given_back_at_once() {
    block_on(async {
        let budget = Budget::new(10);
        let mut share = budget.take(10).await;
        let mut next = pin!(budget.take(6));
        assert!(poll_once(&mut next).await.is_none());
        share.shrink(4);
        let _next = poll_once(next).await.expect("its turn");
        assert_eq!(budget.free(), 0);
    });
}
