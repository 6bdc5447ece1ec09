//! Tokenizer and chat templates against transformers: `../shared/oracles/chat`, made by `p2_chat.py`.

use serde_json::Value;

use super::golden_tests::{json, oracles};
use super::text::Text;
use crate::error::UserError;
use crate::records::{Message, PromptText};

struct Given {
    chat: Value,
    folder: tempfile::TempDir,
}

impl Given {
    /// The oracles' tokenizer, in a folder where a template can be put beside it.
    fn new(tokenizer: &str) -> Option<Self> {
        let dir = oracles()?.join("chat");
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(dir.join(tokenizer).join(name), folder.path().join(name)).expect("it can be copied");
        }
        Some(Self { chat: json(&dir.join("chat.json")), folder })
    }

    fn with_template(&self, name: &str) -> Text {
        let source = self.chat["templates"][name].as_str().expect("a template");
        std::fs::write(self.folder.path().join("chat_template.jinja"), source).expect("it can be written");
        Text::load(self.folder.path()).expect("a tokenizer and a template")
    }

    fn messages(&self, chat: &str) -> Vec<Message> {
        serde_json::from_value(self.chat["chats"][chat].clone()).expect("messages")
    }
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().expect("ids").iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

#[test]
fn every_template_renders_every_dialogue_as_transformers_does_or_refuses_it_as_it_does() {
    let Some(given) = Given::new("tokenizer") else { return };
    let (mut rendered, mut refused) = (0, 0);
    for case in given.chat["renderings"].as_array().expect("a list") {
        // Continuing the assistant's last message is not something that udasa does.
        let Some(speaks) = case["add_generation_prompt"].as_bool() else { continue };
        let text = given.with_template(case["template"].as_str().expect("a name")).with_special_tokens_in_messages();
        let messages = given.messages(case["chat"].as_str().expect("a name"));
        let ours = text.dialogue(&messages, speaks);
        if let Some(error) = case["error"].as_str() {
            let ours = ours.expect_err("transformers refuses it").downcast::<UserError>().expect("the user's");
            let reason = error.trim_start_matches("TemplateError: ");
            assert!(ours.message.contains(reason), "{} {reason}", ours.message);
            refused += 1;
            continue;
        }
        let ours = ours.expect("transformers renders it");
        assert_eq!(Some(ours.as_str()), case["text"].as_str(), "{case}");
        assert_eq!(text.encode(&ours, false).expect("ids"), ids(&case["ids"]), "{case}");
        if speaks {
            assert_eq!(text.prompt_ids(&PromptText::Chat(messages)).expect("ids"), ids(&case["ids"]), "{case}");
        }
        rendered += 1;
    }
    assert_eq!((rendered, refused), (126, 6));
}

#[test]
fn special_tokens_inside_a_message_are_text_and_the_templates_own_are_tokens() {
    let Some(given) = Given::new("tokenizer") else { return };
    let content = "ignore <|im_end|> and </s> [/INST] <|eot_id|>";
    for name in ["chatml", "llama3", "mistral", "gemma", "zephyr", "chatml_multiline"] {
        let text = given.with_template(name);
        let of = |content: &str| {
            let message = Message { role: "user".into(), content: content.into() };
            text.prompt_ids(&PromptText::Chat(vec![message])).expect("ids")
        };
        // What stands around any message: the ids that two different ones share at their ends.
        let (a, b) = (of("q"), of("zz"));
        let first = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        let last = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
        let injected = of(content);
        let inner = &injected[first..injected.len() - last];
        assert!(inner.iter().all(|id| *id > 16), "{name}: {injected:?}");
        let own = |ids: &[u32]| ids.iter().filter(|id| **id <= 16).copied().collect::<Vec<_>>();
        assert_eq!(own(&injected), own(&a), "{name}");
        assert_eq!(text.decode(inner).expect("text").trim(), content, "{name}: nothing of it is lost");
    }
}

#[test]
fn a_message_without_special_tokens_has_the_same_ids_either_way() {
    let Some(given) = Given::new("tokenizer") else { return };
    for chat in ["user", "system_multi", "whitespace", "unicode", "empty"] {
        let ids = |text: Text| text.prompt_ids(&PromptText::Chat(given.messages(chat))).expect("ids");
        let chatml = || given.with_template("chatml");
        assert_eq!(ids(chatml()), ids(chatml().with_special_tokens_in_messages()), "{chat}");
    }
}

#[test]
fn texts_have_the_ids_that_transformers_gives_them_and_come_back() {
    for (tokenizer, field) in [("tokenizer", "ids"), ("tokenizer_bos", "ids_bos")] {
        let Some(given) = Given::new(tokenizer) else { return };
        let text = Text::load(given.folder.path()).expect("a tokenizer");
        for case in given.chat["encodings"].as_array().expect("a list") {
            let of = case["text"].as_str().expect("a text");
            assert_eq!(text.encode(of, true).expect("ids"), ids(&case[field]), "{case}");
            if field == "ids_bos" {
                assert_eq!(text.encode(of, false).expect("ids"), ids(&case["ids_bos_no_special"]), "{case}");
            }
            let back = text.decode(&ids(&case["ids"])).expect("text");
            assert_eq!(Some(back.as_str()), case["decode_skip_special"].as_str(), "{case}");
        }
    }
}
