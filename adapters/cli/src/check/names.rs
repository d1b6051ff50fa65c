//! Names as small numbers, so that a million events fit into memory.

use std::collections::HashMap;

/// A (topic, partition).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Part(pub(super) u32);
/// A (topic, key).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key(pub(super) u32);
/// A (topic, id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Id(pub(super) u32);

/// What is known of an id from whatever line names it.
#[derive(Clone, Debug)]
pub(super) struct IdInfo {
    pub(super) name: String,
    pub(super) topic: u32,
    pub(super) run: usize,
    pub(super) key: Option<Key>,
    pub(super) seq: Option<u64>,
}

/// All names seen so far.
#[derive(Default, Debug)]
pub(super) struct Names {
    topics: HashMap<String, u32>,
    parts: HashMap<(u32, u64), Part>,
    keys: HashMap<(u32, String), Key>,
    ids: HashMap<(u32, String), Id>,
    /// By [`Part`]: topic, partition, run.
    pub(super) part_infos: Vec<(u32, u64, usize)>,
    /// By [`Key`]: topic, name, run.
    pub(super) key_infos: Vec<(u32, String, usize)>,
    /// By [`Id`].
    pub(super) id_infos: Vec<IdInfo>,
    topic_names: Vec<String>,
}

impl Names {
    pub(super) fn topic(&mut self, name: &str) -> u32 {
        if let Some(&topic) = self.topics.get(name) {
            return topic;
        }
        let topic = number(self.topic_names.len());
        self.topics.insert(name.to_owned(), topic);
        self.topic_names.push(name.to_owned());
        topic
    }

    pub(super) fn part(&mut self, topic: u32, partition: u64, run: usize) -> Part {
        let next = Part(number(self.part_infos.len()));
        let part = *self.parts.entry((topic, partition)).or_insert(next);
        if part == next {
            self.part_infos.push((topic, partition, run));
        }
        part
    }

    pub(super) fn key(&mut self, topic: u32, name: &str, run: usize) -> Key {
        if let Some(&key) = self.keys.get(&(topic, name.to_owned())) {
            return key;
        }
        let key = Key(number(self.key_infos.len()));
        self.keys.insert((topic, name.to_owned()), key);
        self.key_infos.push((topic, name.to_owned(), run));
        key
    }

    /// The id; `key` and `seq` complete what earlier lines said of it.
    pub(super) fn id(
        &mut self,
        topic: u32,
        name: &str,
        run: usize,
        key: Option<Key>,
        seq: Option<u64>,
    ) -> Id {
        let next = Id(number(self.id_infos.len()));
        let id = *self.ids.entry((topic, name.to_owned())).or_insert(next);
        if id == next {
            self.id_infos.push(IdInfo {
                name: name.to_owned(),
                topic,
                run,
                key,
                seq,
            });
        } else if let Some(info) = self.id_infos.get_mut(id.0 as usize) {
            info.key = info.key.or(key);
            info.seq = info.seq.or(seq);
        }
        id
    }

    pub(super) fn id_info(&self, id: Id) -> &IdInfo {
        &self.id_infos[id.0 as usize]
    }

    pub(super) fn say_part(&self, part: Part) -> String {
        let (topic, partition, _) = &self.part_infos[part.0 as usize];
        format!("{}/{partition}", self.topic_names[*topic as usize])
    }

    pub(super) fn say_key(&self, key: Key) -> String {
        let (topic, name, _) = &self.key_infos[key.0 as usize];
        format!("key {name} of {}", self.topic_names[*topic as usize])
    }

    pub(super) fn say_id(&self, id: Id) -> String {
        let info = self.id_info(id);
        format!(
            "id {} of {}",
            info.name, self.topic_names[info.topic as usize]
        )
    }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than four billion names fit into memory")
}
