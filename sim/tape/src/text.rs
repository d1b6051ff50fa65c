//! `name=value` text that is read and written by one description of each type.
//!
//! A type tells a [`Fields`] what it consists of, once. A [`Writer`] makes text of it, a [`Reader`]
//! fills it in from text; so what is written is read, and nothing can be forgotten on one side.

use std::fmt::Write as _;

/// What went wrong with a line, without its number.
pub type Fault = String;

/// Who is told what a type consists of.
pub trait Fields {
    /// A whole number.
    fn number(&mut self, name: &'static str, value: &mut u64) -> Result<(), Fault>;
    /// A 128-bit number, in hexadecimal.
    fn wide(&mut self, name: &'static str, value: &mut u128) -> Result<(), Fault>;
    /// One of some words, by its index.
    fn word(
        &mut self,
        name: &'static str,
        value: &mut usize,
        words: &[&'static str],
    ) -> Result<(), Fault>;
    /// Bytes, in hexadecimal.
    fn bytes(&mut self, name: &'static str, value: &mut Vec<u8>) -> Result<(), Fault>;
    /// Whether a value is there: `-` stands for none.
    fn some(&mut self, name: &'static str, value: bool) -> Result<bool, Fault>;
}

/// Writes `name=value` with a separator in between.
pub struct Writer<'a> {
    /// Where it goes.
    pub out: &'a mut String,
    /// Between name and value.
    pub equals: &'static str,
    /// Before each name.
    pub before: &'static str,
    /// After each value.
    pub after: &'static str,
}

impl<'a> Writer<'a> {
    /// ` name=value name=value`, on one line.
    pub const fn line(out: &'a mut String) -> Self {
        Self {
            out,
            equals: "=",
            before: " ",
            after: "",
        }
    }

    /// `name = value`, one a line.
    pub const fn lines(out: &'a mut String) -> Self {
        Self {
            out,
            equals: " = ",
            before: "",
            after: "\n",
        }
    }

    fn put(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        let (before, equals, after) = (self.before, self.equals, self.after);
        let _ = write!(self.out, "{before}{name}{equals}{value}{after}");
    }
}

impl Fields for Writer<'_> {
    fn number(&mut self, name: &'static str, value: &mut u64) -> Result<(), Fault> {
        if *value == u64::MAX {
            self.put(name, format_args!("max"));
        } else {
            self.put(name, format_args!("{value}"));
        }
        Ok(())
    }

    fn wide(&mut self, name: &'static str, value: &mut u128) -> Result<(), Fault> {
        self.put(name, format_args!("{value:x}"));
        Ok(())
    }

    fn word(
        &mut self,
        name: &'static str,
        value: &mut usize,
        words: &[&'static str],
    ) -> Result<(), Fault> {
        let word = words.get(*value).copied().unwrap_or("?");
        self.put(name, format_args!("{word}"));
        Ok(())
    }

    fn bytes(&mut self, name: &'static str, value: &mut Vec<u8>) -> Result<(), Fault> {
        let mut hex = String::with_capacity(2 * value.len() + 1);
        for byte in value.iter() {
            let _ = write!(hex, "{byte:02x}");
        }
        if hex.is_empty() {
            hex.push('-');
        }
        self.put(name, format_args!("{hex}"));
        Ok(())
    }

    fn some(&mut self, name: &'static str, value: bool) -> Result<bool, Fault> {
        if !value {
            self.put(name, format_args!("-"));
        }
        Ok(value)
    }
}

/// Reads what a [`Writer`] wrote. Names come in any order, each once, none is left over.
pub struct Reader<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Reader<'a> {
    /// Of `name=value name=value`.
    pub fn line(text: &'a str) -> Result<Self, Fault> {
        let pairs = text.split_ascii_whitespace().map(|word| {
            word.split_once('=')
                .ok_or_else(|| format!("`{}` is not name=value", clip(word)))
        });
        Self::new(pairs.collect::<Result<_, _>>()?)
    }

    /// Of lines `name = value`.
    pub fn new(mut pairs: Vec<(&'a str, &'a str)>) -> Result<Self, Fault> {
        pairs.sort_unstable();
        match pairs.windows(2).find(|w| w[0].0 == w[1].0) {
            Some(twice) => Err(format!("`{}` is there twice", clip(twice[0].0))),
            None => Ok(Self { pairs }),
        }
    }

    fn find(&self, name: &str) -> Result<usize, Fault> {
        self.pairs
            .binary_search_by(|p| p.0.cmp(name))
            .map_err(|_| format!("`{name}` is missing"))
    }

    fn take(&mut self, name: &str) -> Result<&'a str, Fault> {
        let at = self.find(name)?;
        Ok(self.pairs.remove(at).1)
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), Fault> {
        match self.pairs.first() {
            Some((name, _)) => Err(format!("`{}` does not belong here", clip(name))),
            None => Ok(()),
        }
    }
}

impl Fields for Reader<'_> {
    fn number(&mut self, name: &'static str, value: &mut u64) -> Result<(), Fault> {
        let text = self.take(name)?;
        *value = whole(text).ok_or_else(|| format!("`{name}` is `{}`", clip(text)))?;
        Ok(())
    }

    fn wide(&mut self, name: &'static str, value: &mut u128) -> Result<(), Fault> {
        let text = self.take(name)?;
        let digits = text.len() <= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = digits.then(|| u128::from_str_radix(text, 16).ok());
        *value = number
            .flatten()
            .ok_or_else(|| format!("`{name}` is `{}`", clip(text)))?;
        Ok(())
    }

    fn word(
        &mut self,
        name: &'static str,
        value: &mut usize,
        words: &[&'static str],
    ) -> Result<(), Fault> {
        let text = self.take(name)?;
        *value = words.iter().position(|w| *w == text).ok_or_else(|| {
            let words = words.join(", ");
            format!("`{name}` is `{}`, not one of {words}", clip(text))
        })?;
        Ok(())
    }

    fn bytes(&mut self, name: &'static str, value: &mut Vec<u8>) -> Result<(), Fault> {
        let text = self.take(name)?;
        if text == "-" {
            value.clear();
            return Ok(());
        }
        let wrong = || format!("`{name}` is `{}`, not hexadecimal", clip(text));
        let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        let pairs = text.as_bytes().chunks(2);
        let read = pairs.map(|pair| match pair {
            [a, b] => Some(digit(*a)? << 4 | digit(*b)?),
            _ => None,
        });
        *value = read.collect::<Option<_>>().ok_or_else(wrong)?;
        Ok(())
    }

    fn some(&mut self, name: &'static str, _value: bool) -> Result<bool, Fault> {
        let at = self.find(name)?;
        let there = self.pairs[at].1 != "-";
        if !there {
            self.pairs.remove(at);
        }
        Ok(there)
    }
}

/// Writing cannot fail: every value of the types has a word.
pub fn told(result: Result<(), Fault>) {
    debug_assert_eq!(result, Ok(()));
}

/// A whole number: digits, or `max`.
pub fn whole(text: &str) -> Option<u64> {
    if text == "max" {
        return Some(u64::MAX);
    }
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Enough of a text to say what is wrong with it.
pub fn clip(text: &str) -> &str {
    let end = (0..=40.min(text.len()))
        .rev()
        .find(|&i| text.is_char_boundary(i));
    &text[..end.unwrap_or(0)]
}

/// A number of another type, within its bounds.
pub fn small(to: &mut impl Fields, name: &'static str, value: &mut u32) -> Result<(), Fault> {
    let mut wide = u64::from(*value);
    to.number(name, &mut wide)?;
    *value = match wide {
        u64::MAX => u32::MAX,
        wide => u32::try_from(wide).map_err(|_| format!("`{name}` is {wide}, too much"))?,
    };
    Ok(())
}

/// A number or none.
pub fn maybe(
    to: &mut impl Fields,
    name: &'static str,
    value: &mut Option<u64>,
) -> Result<(), Fault> {
    *value = if to.some(name, value.is_some())? {
        let mut number = value.unwrap_or(0);
        to.number(name, &mut number)?;
        Some(number)
    } else {
        None
    };
    Ok(())
}

/// Yes or no.
pub fn flag(to: &mut impl Fields, name: &'static str, value: &mut bool) -> Result<(), Fault> {
    let mut index = usize::from(*value);
    to.word(name, &mut index, &["no", "yes"])?;
    *value = index == 1;
    Ok(())
}

/// One of the values of a table, by its word.
pub fn choice<T: Copy + PartialEq>(
    to: &mut impl Fields,
    name: &'static str,
    value: &mut T,
    table: &[(&'static str, T)],
) -> Result<(), Fault> {
    let words: Vec<_> = table.iter().map(|t| t.0).collect();
    let mut index = table
        .iter()
        .position(|t| t.1 == *value)
        .unwrap_or(usize::MAX);
    to.word(name, &mut index, &words)?;
    *value = table
        .get(index)
        .ok_or_else(|| format!("`{name}` has a value without a word"))?
        .1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u64, Fault> {
        let mut reader = Reader::line(text)?;
        let mut value = 0;
        reader.number("n", &mut value)?;
        reader.end()?;
        Ok(value)
    }

    #[test]
    fn a_line_has_every_name_once_and_no_other() {
        assert_eq!(read("n=7"), Ok(7));
        assert_eq!(read("n=max"), Ok(u64::MAX));
        for wrong in [
            "",
            "n",
            "n=",
            "n=-1",
            "n=+1",
            "n=99999999999999999999999",
            "n=1 n=2",
            "n=1 m=2",
            "m=1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_and_wide_numbers_come_back() {
        let mut text = String::new();
        let (mut bytes, mut wide) = (vec![0, 255, 16], u128::MAX - 3);
        let mut writer = Writer::line(&mut text);
        writer.bytes("b", &mut bytes).unwrap();
        writer.wide("w", &mut wide).unwrap();
        let (mut b, mut w) = (Vec::new(), 0);
        let mut reader = Reader::line(&text).unwrap();
        reader.bytes("b", &mut b).unwrap();
        reader.wide("w", &mut w).unwrap();
        assert_eq!((b, w), (bytes, wide));
        for odd in ["b=abc", "b=zz", "b=é"] {
            let mut reader = Reader::line(odd).unwrap();
            assert!(reader.bytes("b", &mut Vec::new()).is_err(), "{odd}");
        }
    }
}
