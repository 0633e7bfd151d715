//! Keeps rarely used futures out of the code that all pods load. A separate file, because the linker places modules.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};

/// Polls `future` from a function that is in the cold section (`.cargo/layout.ld`) and is never inlined. Inlined, its
/// code would be between code that is resident in every pod.
pub async fn poll_out_of_line<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    poll_fn(|cx| poll(future.as_mut(), cx)).await
}

#[inline(never)]
fn poll<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(cx)
}
