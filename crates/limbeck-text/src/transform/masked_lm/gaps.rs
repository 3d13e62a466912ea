use std::borrow::Cow;

use super::Side;
use crate::Gap;
use crate::edit::WordText;

/// What stands before and after a gap.
pub(super) struct Around<'a> {
    before: Cow<'a, str>,
    after: Cow<'a, str>,
}

impl<'a> Around<'a> {
    /// The gap takes the place of word `index`.
    pub(super) fn replacing(text: &'a WordText, index: usize) -> Self {
        let span = text.span(index);
        Self {
            before: text.text()[..span.start].into(),
            after: text.text()[span.end..].into(),
        }
    }

    /// The gap stands beside word `index`.
    pub(super) fn beside(text: &'a WordText, index: usize, side: Side) -> Self {
        Self::beside_new(text, index, text.word(index), side)
    }

    /// `new` takes the place of word `index`, and the gap stands beside it.
    pub(super) fn beside_new(text: &'a WordText, index: usize, new: &str, side: Side) -> Self {
        let span = text.span(index);
        let (before, after) = (&text.text()[..span.start], &text.text()[span.end..]);
        match side {
            Side::Before => Self {
                before: before.into(),
                after: format!(" {new}{after}").into(),
            },
            Side::After => Self {
                before: format!("{before}{new} ").into(),
                after: after.into(),
            },
        }
    }

    /// The gap takes the place of word `index` and the next.
    pub(super) fn merging(text: &'a WordText, index: usize) -> Self {
        let (first, second) = (text.span(index), text.span(index + 1));
        let whole = text.text();
        let rest = &whole[second.end..];
        let mut between = &whole[first.end..second.start];
        if !rest.is_empty() {
            between = between.strip_suffix(' ').unwrap_or(between);
        }
        Self {
            before: whole[..first.start].into(),
            after: format!("{between}{rest}").into(),
        }
    }

    pub(super) fn gap(&self) -> Gap<'_> {
        Gap {
            before: &self.before,
            after: &self.after,
            second: None,
        }
    }
}
