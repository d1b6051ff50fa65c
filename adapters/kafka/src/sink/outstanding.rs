//! Messages that the producer holds: a slab of their names.

/// Most messages without an answer; a limit behind the core's own window.
pub(super) const OUTSTANDING_MAX: usize = 1 << 22;

/// The slab. A place is used again only after its report: each message gets exactly one.
#[derive(Debug)]
pub(super) struct Outstanding<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Outstanding<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Outstanding<T> {
    /// Takes a message; its place.
    ///
    /// # Errors
    /// It is given back: all places are used.
    pub(super) fn insert(&mut self, name: T) -> Result<usize, T> {
        if let Some(place) = self.free.pop() {
            self.places[place] = Some(name);
            return Ok(place);
        }
        if OUTSTANDING_MAX <= self.places.len() {
            return Err(name);
        }
        self.places.push(Some(name));
        Ok(self.places.len() - 1)
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let name = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        Some(name)
    }

    /// All that are left, and an empty slab.
    pub(super) fn take(&mut self) -> impl Iterator<Item = T> {
        self.free.clear();
        core::mem::take(&mut self.places).into_iter().flatten()
    }

    pub(super) const fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_comes_out_once() {
        let mut out = Outstanding::default();
        assert_eq!((out.insert('a'), out.insert('b')), (Ok(0), Ok(1)));
        assert_eq!(
            (out.remove(0), out.remove(0), out.remove(9)),
            (Some('a'), None, None)
        );
        assert_eq!((out.insert('c'), out.len()), (Ok(0), 2));
        assert_eq!(out.take().collect::<Vec<_>>(), ['c', 'b']);
        assert_eq!((out.len(), out.insert('d')), (0, Ok(0)));
    }

    #[test]
    fn bounded() {
        let mut out = Outstanding::default();
        for _ in 0..OUTSTANDING_MAX {
            out.insert(()).unwrap();
        }
        assert_eq!(out.insert(()), Err(()));
        out.remove(7);
        assert_eq!(out.insert(()), Ok(7));
    }
}
