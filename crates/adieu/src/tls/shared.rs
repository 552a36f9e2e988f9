//! A value that is made when it is first asked for, once in a process.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct Shared<T>(Mutex<Option<Arc<T>>>);

impl<T: Send + Sync> Shared<T> {
    pub(super) const fn new() -> Self {
        Shared(Mutex::new(None))
    }

    /// The value. Who comes while it is made waits, and gets the same. What failed is tried again
    /// by who comes next.
    pub(super) fn get(&self, make: impl FnOnce() -> io::Result<Arc<T>>) -> io::Result<Arc<T>> {
        let mut value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*value {
            Some(value) => Ok(value.clone()),
            None => Ok(value.insert(make()?).clone()),
        }
    }

    /// The same, made on a thread that may block.
    pub(super) async fn get_off_the_runtime(
        &'static self,
        make: impl FnOnce() -> io::Result<Arc<T>> + Send + 'static,
    ) -> io::Result<Arc<T>> {
        let ready = self.0.try_lock().ok().and_then(|value| value.clone());
        match ready {
            Some(value) => Ok(value),
            None => {
                let made = tokio::task::spawn_blocking(move || self.get(make));
                made.await.map_err(io::Error::other)?
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn it_is_made_once_and_off_the_runtime() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        static SHARED: Shared<thread::ThreadId> = Shared::new();
        let make = || {
            MADE.fetch_add(1, Ordering::Relaxed);
            Ok(Arc::new(thread::current().id()))
        };
        let get = || SHARED.get_off_the_runtime(make);
        let (a, b, c) = tokio::join!(get(), get(), get());
        let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
        assert_ne!(*a, thread::current().id(), "the thread of the runtime made it");
        assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&a, &c));
        assert!(Arc::ptr_eq(&a, &SHARED.get(make).unwrap()));
        assert_eq!(MADE.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_failed_is_tried_again() {
        static SHARED: Shared<u8> = Shared::new();
        SHARED.get_off_the_runtime(|| Err(io::ErrorKind::NotFound.into())).await.unwrap_err();
        assert_eq!(*SHARED.get_off_the_runtime(|| Ok(Arc::new(7))).await.unwrap(), 7);
    }
}
