//! Tokenizers built from vocabulary files, where there is no `tokenizer.json`.

use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::BPE;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Model, Tokenizer};

use super::{TextTokenizer, bad, special_token};
use crate::ModelError;

/// BERT's tokenizer, or MPNet's when the special tokens are RoBERTa's.
pub(super) fn word_piece(
    path: &Path,
    mut config: Map<String, Value>,
) -> Result<TextTokenizer, ModelError> {
    let bytes = fs_err::read(path).map_err(|source| ModelError::Read { source })?;
    let vocabulary = WordPiece::read_bytes(&bytes).map_err(|source| bad(path, source))?;
    let has = |token: &str| vocabulary.contains_key(token);
    let names = if !has("[CLS]") && has("<s>") {
        [
            ("cls_token", "<s>"),
            ("sep_token", "</s>"),
            ("pad_token", "<pad>"),
            ("unk_token", "[UNK]"),
            ("mask_token", "<mask>"),
        ]
    } else {
        [
            ("cls_token", "[CLS]"),
            ("sep_token", "[SEP]"),
            ("pad_token", "[PAD]"),
            ("unk_token", "[UNK]"),
            ("mask_token", "[MASK]"),
        ]
    };
    let tokens =
        names.map(|(role, usual)| special_token(&config, role).unwrap_or_else(|| usual.to_owned()));
    let [cls, sep, pad, unknown, mask] = tokens;
    let id = |role, token: &str| {
        let missing = || ModelError::MissingToken {
            path: path.to_owned(),
            role,
            token: token.to_owned(),
            size: vocabulary.len(),
        };
        vocabulary.get(token).copied().ok_or_else(missing)
    };
    let (cls_id, sep_id) = (id("cls_token", &cls)?, id("sep_token", &sep)?);
    id("unk_token", &unknown)?;

    let flag = |key: &str| config.get(key).and_then(Value::as_bool);
    let normalizer = BertNormalizer::new(
        true,
        flag("tokenize_chinese_chars").unwrap_or(true),
        flag("strip_accents"),
        flag("do_lower_case").unwrap_or(true),
    );
    let is_mpnet = cls == "<s>";
    let model = WordPiece::builder()
        .vocab(vocabulary)
        .unk_token(unknown.clone())
        .build();
    let mut tokenizer = Tokenizer::new(model.map_err(|source| bad(path, source))?);
    tokenizer
        .with_normalizer(Some(normalizer))
        .map_err(|source| bad(path, source))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(WordPieceDecoder::default()));
    if is_mpnet {
        tokenizer.with_post_processor(Some(pair_with_two_separators(
            (&cls, cls_id),
            (&sep, sep_id),
            Spaces::Kept,
        )));
    } else {
        let template = TemplateProcessing::builder()
            .try_single(format!("{cls} $A {sep}"))
            .and_then(|builder| builder.try_pair(format!("{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1")))
            .map(|builder| {
                builder
                    .special_tokens(vec![(cls.clone(), cls_id), (sep.clone(), sep_id)])
                    .build()
            });
        let template = template.map_err(|reason| bad(path, reason.into()))?;
        tokenizer.with_post_processor(Some(template.map_err(|source| bad(path, source.into()))?));
    }
    let stripped = if is_mpnet { mask.as_str() } else { "" };
    add_special(
        &mut tokenizer,
        path,
        &[&pad, &unknown, &cls, &sep, &mask],
        stripped,
    )?;
    for ((role, _), token) in names.into_iter().zip([cls, sep, pad, unknown, mask]) {
        config.entry(role).or_insert_with(|| token.into());
    }
    let class = if is_mpnet {
        "MPNetTokenizer"
    } else {
        "BertTokenizer"
    };
    config
        .entry("tokenizer_class")
        .or_insert_with(|| class.into());
    Ok(TextTokenizer::new(tokenizer, config))
}

/// RoBERTa's tokenizer.
pub(super) fn byte_level(
    vocabulary: &Path,
    merges: &Path,
    mut config: Map<String, Value>,
) -> Result<TextTokenizer, ModelError> {
    let names = [
        ("cls_token", "<s>"),
        ("sep_token", "</s>"),
        ("pad_token", "<pad>"),
        ("unk_token", "<unk>"),
        ("mask_token", "<mask>"),
    ];
    let tokens =
        names.map(|(role, usual)| special_token(&config, role).unwrap_or_else(|| usual.to_owned()));
    let [cls, sep, pad, unknown, mask] = tokens;
    let add_prefix_space = config
        .get("add_prefix_space")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let model = BPE::from_file(&vocabulary.to_string_lossy(), &merges.to_string_lossy())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix(String::new())
        .build()
        .map_err(|source| bad(vocabulary, source))?;
    let id = |role, token: &str| {
        let size = model.get_vocab_size();
        let missing = || ModelError::MissingToken {
            path: vocabulary.to_owned(),
            role,
            token: token.to_owned(),
            size,
        };
        model.token_to_id(token).ok_or_else(missing)
    };
    let (cls_id, sep_id) = (id("cls_token", &cls)?, id("sep_token", &sep)?);
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(add_prefix_space, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let spaces = if add_prefix_space {
        Spaces::Prefixed
    } else {
        Spaces::Kept
    };
    tokenizer.with_post_processor(Some(pair_with_two_separators(
        (&cls, cls_id),
        (&sep, sep_id),
        spaces,
    )));
    add_special(
        &mut tokenizer,
        vocabulary,
        &[&cls, &pad, &sep, &unknown, &mask],
        &mask,
    )?;
    for ((role, _), token) in names.into_iter().zip([cls, sep, pad, unknown, mask]) {
        config.entry(role).or_insert_with(|| token.into());
    }
    config
        .entry("tokenizer_class")
        .or_insert_with(|| "RobertaTokenizer".into());
    config
        .entry("add_prefix_space")
        .or_insert_with(|| add_prefix_space.into());
    Ok(TextTokenizer::new(tokenizer, config))
}

/// Whether a space is put before the first word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Kept,
    Prefixed,
}

/// `<s> a </s>` and `<s> a </s> </s> b </s>`, without segments.
fn pair_with_two_separators(
    cls: (&str, u32),
    sep: (&str, u32),
    spaces: Spaces,
) -> RobertaProcessing {
    RobertaProcessing::new((sep.0.to_owned(), sep.1), (cls.0.to_owned(), cls.1))
        .trim_offsets(true)
        .add_prefix_space(spaces == Spaces::Prefixed)
}

/// Registers special tokens; `stripped` also takes the spaces before it, as transformers has it for RoBERTa's mask.
pub(super) fn add_special(
    tokenizer: &mut Tokenizer,
    path: &Path,
    tokens: &[&str],
    stripped: &str,
) -> Result<(), ModelError> {
    let added = tokens
        .iter()
        .map(|&token| AddedToken::from(token, true).lstrip(token == stripped));
    tokenizer
        .add_special_tokens(added)
        .map_err(|source| bad(path, source))?;
    Ok(())
}
