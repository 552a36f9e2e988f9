//! A short list that lies inside a state: states are copied by the million.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

/// At most `N` items.
#[derive(Clone, Copy)]
pub(crate) struct List<T, const N: usize> {
    items: [T; N],
    len: u8,
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// Adds an item behind the others. More than `N` are a mistake of the scenario.
    pub(crate) fn push(&mut self, item: T) {
        assert!(usize::from(self.len) < N, "a list of {N} is full: the scenario is too large");
        self.items[usize::from(self.len)] = item;
        self.len += 1;
    }

    /// Takes out the item at `at`; those behind it move up.
    pub(crate) fn remove(&mut self, at: usize) -> T {
        let item = self[at];
        let len = usize::from(self.len);
        self.items.copy_within(at + 1..len, at);
        self.len -= 1;
        item
    }

    /// Keeps the items for which `keep` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = Self::default();
        for item in self.iter().filter(|item| keep(item)) {
            kept.push(*item);
        }
        *self = kept;
    }
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        List { items: [T::default(); N], len: 0 }
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..usize::from(self.len)]
    }
}

impl<T, const N: usize> DerefMut for List<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..usize::from(self.len)]
    }
}

impl<T: PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq, const N: usize> Eq for List<T, N> {}

impl<T: Hash, const N: usize> Hash for List<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_was_put_into_it_and_nothing_that_was_taken_out() {
        let mut list = List::<u8, 3>::default();
        (1..=3).for_each(|item| list.push(item));
        assert_eq!(list.remove(0), 1);
        list.push(4);
        list.retain(|item| *item != 3);
        let mut same = List::<u8, 3>::default();
        same.push(2);
        same.push(4);
        assert!(list == same);
        assert_eq!(&*list, &[2, 4]);
    }
}
