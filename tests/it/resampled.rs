//! Stages that are trained on responses sampled anew before them: what is kept, by which model they were made, and that a broken-off run goes
//! on where it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::compare::differences;
use crate::questions::asker;
use crate::questions::encoder::Encoder;
use crate::small::{self, lines};
use crate::support::{expect_success, expect_user_error, plugins, repository, scratch, udasa, write};
use crate::witness::{cut_before, stages, witnessed};

const NONE: [&str; 0] = [];
const RESAMPLE: [&str; 2] = ["--set", "stage.settings.resample=true"];
const FOLDERS: [&str; 2] = ["resampled/1-moderate", "resampled/2-exploratory"];
const FILES: [&str; 11] = [
    "drops.jsonl",
    "pairs.jsonl",
    "reference.json",
    "resampled.json",
    "responses.jsonl",
    "scaler.json",
    "score-summary.json",
    "score-usage.json",
    "scores.jsonl",
    "scores.keys.json",
    "uncertainty.jsonl",
];

/// The small run with new responses before its second and third stage. Not to be changed.
fn finished() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("small-resampled-run");
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("an earlier test run's folder can be removed");
        }
        small::copy_folder(small::finished(), &folder);
        expect_success(&mut small::run(&folder, &RESAMPLE));
        folder
    })
}

fn copy() -> tempfile::TempDir {
    let folder = scratch();
    small::copy_folder(finished(), folder.path());
    folder
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn ids(rows: &[Value], key: &str) -> Vec<String> {
    rows.iter().map(|row| text(&row[key])).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Mean over a stage's first batch of log p of the chosen responses, by the sampler's word, and under the initial model.
fn first_batch(run: &Path, folder: &str) -> (f64, f64) {
    let responses = lines(run, &format!("{folder}/responses.jsonl"));
    let known = small::json(run, &format!("{folder}/reference.json"));
    let pairs = lines(run, &format!("{folder}/pairs.jsonl"));
    let batch = pairs.len().min(4);
    let mut sums = (0.0, 0.0);
    for (i, pair) in pairs[..batch].iter().enumerate() {
        let sample = responses.iter().find(|sample| sample["id"] == pair["prompt_id"]).expect("its sample");
        let chosen = &sample["responses"][pair["chosen_index"].as_u64().expect("an index") as usize];
        assert_eq!(chosen["token_ids"], pair["chosen_token_ids"]);
        sums.0 += chosen["logprobs"].as_array().expect("a list").iter().map(number).sum::<f64>();
        sums.1 += number(&known["logps"][i][0]);
    }
    (sums.0 / batch as f64, sums.1 / batch as f64)
}

/// The first step of the stage of this name.
fn first_step(run: &Path, stage: &str) -> Value {
    lines(run, "metrics.jsonl").into_iter().find(|step| step["stage"] == stage).expect("a step")
}

#[test]
fn every_stage_but_the_first_has_a_folder_with_the_files_of_a_run() {
    let run = finished();
    assert_eq!(names(&run.join("resampled")), ["1-moderate", "2-exploratory"]);
    let first = lines(run, "responses.jsonl");
    let given = lines(run, "pairs.jsonl");
    for (number, folder) in FOLDERS.iter().enumerate() {
        let mut wanted: Vec<&str> = FILES.to_vec();
        wanted.insert(0, "answers");
        assert_eq!(names(&run.join(folder)), wanted);
        assert!(!names(&run.join(folder).join("answers")).is_empty());
        let [own, of_run] =
            [&run.join(folder), run].map(|folder| fs::read(folder.join("scaler.json")).expect("it is there"));
        assert!(own == of_run, "an uncertainty means the same in every stage");

        // The prompts of the pairs that the policy named, in its order.
        let stage = &stages(run)[number + 1];
        let named =
            stage["pairs"].as_array().expect("indices").iter().map(|i| &given[i.as_u64().expect("an index") as usize]);
        let prompts: Vec<String> = named.map(|pair| text(&pair["prompt_id"])).collect();
        let responses = lines(run, &format!("{folder}/responses.jsonl"));
        assert_eq!(ids(&responses, "id"), prompts);
        for sample in &responses {
            assert_eq!(sample["responses"].as_array().map(Vec::len), Some(small::RESPONSES));
        }
        let same =
            responses.iter().filter(|sample| first.iter().any(|old| old["responses"] == sample["responses"])).count();
        assert_eq!(same, 0, "new responses");

        let pairs = lines(run, &format!("{folder}/pairs.jsonl"));
        let drops = lines(run, &format!("{folder}/drops.jsonl"));
        assert_eq!(pairs.len() + drops.len(), prompts.len(), "every prompt is a pair or has a reason");
        let from = &stage["resampled"];
        let counted: u64 = from["drops"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
        assert_eq!(
            (&from["folder"], &from["prompts"], &from["pairs"]),
            (&json!(folder), &json!(prompts.len()), &json!(pairs.len()))
        );
        assert_eq!(counted as usize, drops.len());
        assert!(ids(&pairs, "id").iter().all(|id| id.ends_with(&format!("-{}", number + 1))));
        assert_eq!(stage["steps"], json!(pairs.len().div_ceil(4) * 3), "three epochs of its own pairs");
    }
    assert!(stages(run)[0]["resampled"].is_null());
}

#[test]
fn the_responses_are_those_of_the_model_as_it_is_before_the_stage() {
    let lora: &[&str] =
        &["--set", "train.lora.rank=4", "--set", "train.lora.alpha=8", "--set", "train.learning_rate=1e-2"];
    let initial: &[&str] = &["--set", "train.reference=initial"];
    for arguments in [&[][..], initial, lora] {
        let other = small::copy();
        let run = if arguments.is_empty() {
            finished()
        } else {
            expect_success(&mut small::run(other.path(), &[&RESAMPLE[..], arguments, &["--until", "train"]].concat()));
            other.path()
        };
        for (folder, stage) in FOLDERS.iter().zip(["moderate", "exploratory"]) {
            let step = first_step(run, stage);
            let (sampled, before_alignment) = first_batch(run, folder);
            // Before the first update: other shapes of batch, so other last bits.
            let now = number(&step["logps/chosen"]);
            assert!((now - sampled).abs() < 1e-3, "{stage}: {now}, sampled at {sampled}");
            assert!((now - before_alignment).abs() > 1e-2, "{stage}: {now}, and {before_alignment} before alignment");
            let reward = if arguments == initial { 0.3 * (now - before_alignment) } else { 0.0 };
            let rewarded = number(&step["rewards/chosen"]);
            assert!((rewarded - reward).abs() < 1e-3, "{stage}: {rewarded}, and from log p {reward}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_model_other_responses() {
    let [again, other] = [small::copy(), small::copy()];
    expect_success(&mut small::run(again.path(), &RESAMPLE));
    assert_eq!(differences(finished(), again.path()), NONE);
    expect_success(&mut small::run(again.path(), &[&RESAMPLE[..], &["--from", "train"]].concat()));
    assert_eq!(differences(finished(), again.path()), NONE);

    // The middle third is nearly the same from both ends, and the model that is asked is another.
    let small_first = ["--set", "stage.settings.direction=small-first", "--until", "train"];
    expect_success(&mut small::run(other.path(), &[&RESAMPLE[..], &small_first].concat()));
    let [ours, theirs] = [finished(), other.path()].map(|run| lines(run, &format!("{}/responses.jsonl", FOLDERS[0])));
    let both: Vec<_> =
        ours.iter().filter_map(|our| Some((our, theirs.iter().find(|their| their["id"] == our["id"])?))).collect();
    assert!(both.len() > 3 && both.iter().any(|(our, their)| our != their), "{} prompts in both", both.len());
}

#[test]
fn plan_verify_export_explain_and_the_report_tell_what_was_trained_on() {
    let run = finished();
    let output = small::command("plan", run, &RESAMPLE).output().expect("udasa starts");
    let plan = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(plan.contains("  train     unchanged, kept"), "{plan}");
    let verify = |run: &Path| udasa().arg("verify").arg(run).output().expect("udasa starts");
    assert!(verify(run).status.success(), "{:?}", verify(run));

    let new = lines(run, &format!("{}/pairs.jsonl", FOLDERS[0]));
    let members = lines(run, "stages.jsonl");
    let moderate: Vec<&Value> = members.iter().filter(|member| member["stage"] == 1).collect();
    assert_eq!(moderate.iter().map(|member| text(&member["pair_id"])).collect::<Vec<_>>(), ids(&new, "id"));
    assert!(moderate.iter().zip(&new).all(|(member, pair)| member["gap"] == pair["gap"]));
    assert!(text(&moderate[0]["reason"]).contains("sampled anew before it"), "{}", moderate[0]);

    let folder = scratch();
    expect_success(udasa().arg("export").arg(run).arg("--per-stage").arg(folder.path()));
    let exported = lines(folder.path(), "1-moderate.jsonl");
    for (row, pair) in exported.iter().zip(&new) {
        for key in ["id", "prompt", "chosen", "rejected", "chosen_token_ids", "rejected_token_ids", "gap"] {
            assert_eq!(row[key], pair[key], "{key}");
        }
    }
    assert_eq!(exported.len(), new.len());
    let whole = udasa().arg("export").arg(run).output().expect("udasa starts");
    let whole: Vec<Value> =
        String::from_utf8_lossy(&whole.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let staged = whole.iter().filter(|row| !row["stage"].is_null()).count();
    assert_eq!(staged, members.len(), "a pair whose prompt was sampled anew is in no stage");

    let explain = |id: &str| {
        let output = udasa().arg("explain").arg(run).arg(id).output().expect("udasa starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let shown = explain(&text(&new[0]["id"]));
    for part in [text(&new[0]["chosen"][0]["content"]), "stage 2 moderate".into(), "sampled anew".into()] {
        assert!(shown.contains(&part), "{part} in\n{shown}");
    }
    assert_eq!(shown.matches("\n  no. ").count(), small::RESPONSES, "{shown}");
    let replaced = lines(run, "pairs.jsonl");
    let index = stages(run)[1]["pairs"][0].as_u64().expect("an index") as usize;
    let shown = explain(&text(&replaced[index]["id"]));
    assert!(shown.contains("stage 2 moderate: its prompt was sampled anew, and this pair not trained on"), "{shown}");

    let report = fs::read_to_string(run.join("report.html")).expect("a report");
    for part in ["were sampled anew by the model as it was then", "responses sampled anew", "score before moderate"] {
        assert!(report.contains(part), "{part}");
    }
    let widest = new.iter().max_by(|a, b| number(&a["gap"]).total_cmp(&number(&b["gap"]))).expect("a pair");
    assert!(report.contains(&text(&widest["id"])), "new pairs are among the examples");

    let changed = copy();
    let file = changed.path().join(FOLDERS[1]).join("pairs.jsonl");
    let mut bytes = fs::read(&file).expect("it is there");
    bytes[10] ^= 1;
    fs::write(&file, bytes).expect("it can be written");
    expect_user_error(udasa().arg("verify").arg(changed.path()), &["train resampled: sha256"]);
}

/// A copy of the finished run, as a process leaves it that died between the first stage and the second.
fn after_the_first_stage() -> tempfile::TempDir {
    let folder = copy();
    let run = folder.path();
    cut_before(run, 1);
    fs::remove_dir_all(run.join(FOLDERS[1])).expect("it is there");
    folder
}

/// Takes the word of completion from the second stage's new responses.
fn not_done(run: &Path) {
    let name = format!("{}/resampled.json", FOLDERS[0]);
    let mut record = small::json(run, &name);
    record["done"] = Value::Null;
    fs::write(run.join(name), record.to_string()).expect("it can be written");
}

/// Whether a run said that it sampled a stage's prompts.
fn samples_anew(stderr: &str, stage: &str) -> bool {
    stderr.lines().any(|line| line.contains(&format!("{stage}: ")) && line.contains("sampled anew"))
}

fn keep_lines(file: &Path, whole: usize, torn: usize) {
    let text = fs::read_to_string(file).expect("it is there");
    let mut lines = text.split_inclusive('\n');
    let kept: String = lines.by_ref().take(whole).collect();
    let rest: String = lines.next().unwrap_or_default().chars().take(torn).collect();
    fs::write(file, kept + &rest).expect("it can be written");
}

#[test]
fn a_run_broken_off_while_it_samples_anew_goes_on_with_the_next_unit() {
    let folder = after_the_first_stage();
    let run = folder.path();
    not_done(run);
    let new = run.join(FOLDERS[0]);
    for file in FILES.iter().filter(|file| !["resampled.json", "responses.jsonl"].contains(file)) {
        fs::remove_file(new.join(file)).expect("it is there");
    }
    fs::remove_dir_all(new.join("answers")).expect("it is there");
    keep_lines(&new.join("responses.jsonl"), 8, 30);
    let stderr = expect_success(&mut small::run(run, &RESAMPLE));
    assert!(samples_anew(&stderr, "moderate") && !stderr.contains("conservative: "), "{stderr}");
    assert_eq!(differences(finished(), run), NONE);
}

#[test]
fn a_run_broken_off_while_it_scores_anew_keeps_scores_and_answers() {
    let folder = after_the_first_stage();
    let run = folder.path();
    not_done(run);
    let new = run.join(FOLDERS[0]);
    let samples = lines(&new, "responses.jsonl").len();
    keep_lines(&new.join("scores.jsonl"), 2 * samples, 20);
    for file in ["pairs.jsonl", "drops.jsonl", "uncertainty.jsonl", "score-summary.json"] {
        fs::remove_file(new.join(file)).expect("it is there");
    }
    expect_success(&mut small::run(run, &RESAMPLE));
    let scorers = small::json(&new, "score-summary.json")["scorers"].as_array().expect("a list").clone();
    let kept: Vec<_> = scorers.iter().map(|scorer| scorer["kept"].as_u64().expect("a count") as usize).collect();
    assert_eq!(kept, [samples, samples, 0]);
    assert_eq!(scorers[2]["asked_model"], 0, "every answer is there: {}", scorers[2]);
    assert_eq!(differences(finished(), run), [format!("{}/score-summary.json", FOLDERS[0])]);
}

#[test]
fn a_run_broken_off_before_it_trains_on_new_responses_samples_them_once() {
    let folder = after_the_first_stage();
    let stderr = expect_success(&mut small::run(folder.path(), &RESAMPLE));
    assert!(!samples_anew(&stderr, "moderate") && samples_anew(&stderr, "exploratory"), "{stderr}");
    assert_eq!(differences(finished(), folder.path()), NONE);
}

#[test]
fn what_was_sampled_by_another_policy_is_not_believed() {
    let folder = after_the_first_stage();
    let run = folder.path();
    // The folder's key names the policy; another loss in the first stage would have made another.
    let name = format!("{}/resampled.json", FOLDERS[0]);
    let mut record = small::json(run, &name);
    record["key"] = "0".into();
    fs::write(run.join(name), record.to_string()).expect("it can be written");
    fs::write(run.join(FOLDERS[0]).join("pairs.jsonl"), "").expect("it can be written");
    expect_success(&mut small::run(run, &RESAMPLE));
    assert_eq!(differences(finished(), run), NONE);
}

#[test]
fn a_stage_whose_prompts_make_no_pair_is_left_out_and_the_others_are_trained() {
    let folder = small::copy();
    let run = folder.path();
    // One pair a stage, and a gap that few new pairs have again.
    let few = ["--set", "stage.settings={ stages = 1000, resample = true }", "--set", "pair.min_gap=0.4"];
    let stderr = expect_success(&mut witnessed(run, &few));
    let all = stages(run);
    let (left_out, trained): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|stage| stage["outcome"].is_null());
    assert!(!left_out.is_empty() && !trained.is_empty(), "{} left out, {} trained", left_out.len(), trained.len());
    for stage in &left_out {
        assert_eq!((&stage["steps"], &stage["resampled"]["pairs"]), (&json!(0), &json!(0)));
        assert_eq!(stage["resampled"]["drops"].as_object().map(serde_json::Map::len), Some(1), "{stage}");
        assert!(stderr.contains(&format!("{}: no pair came of the new responses", text(&stage["name"]))), "{stderr}");
    }
    // The policy is told that nothing came of it, and its history goes on.
    for (stage, next) in all.iter().zip(&all[1..]) {
        assert_eq!(text(&next["reason"]) == "no outcome", stage["outcome"].is_null(), "{next}");
    }
    assert_eq!(lines(run, "pairs.jsonl").len(), all.len());
    let members = lines(run, "stages.jsonl");
    assert_eq!(members.len(), trained.len());
    let steps: u64 = trained.iter().filter_map(|stage| stage["steps"].as_u64()).sum();
    assert_eq!(lines(run, "metrics.jsonl").len() as u64, steps);
}

#[test]
fn an_embedder_answers_for_itself_and_the_policy_as_it_is_for_the_rest() {
    let folder = scratch();
    let directory = folder.path().join("plugins");
    small::copy_folder(asker(), &directory);
    for scorer in ["semantic.wasm", "factual.wasm", "value.wasm"] {
        fs::copy(plugins().join(scorer), directory.join(scorer)).expect("it can be copied");
    }
    let embedder = folder.path().join("embedder");
    Encoder::embedder().write(&embedder);
    let mini = fs::read_to_string(repository().join("configs/mini.toml")).expect("it is there");
    let asked = "plugin = \"asker\"\nweight = 0\ngrant = [\"embed\", \"choose\"]\nsettings = { kinds = [\"embed\", \"choose\"] }";
    let config =
        write(folder.path(), "config.toml", format!("{mini}\n[models]\nembed = {embedder:?}\n[[scorer]]\n{asked}\n"));
    let run = folder.path().join("run");
    let mut command = udasa();
    for argument in small::with_plugins("train", &run, &directory).get_args() {
        command.arg(if argument.to_string_lossy().ends_with("mini.toml") { config.as_os_str() } else { argument });
    }
    expect_success(command.args(RESAMPLE));

    let of_run = names(&run.join("answers"));
    assert_eq!(of_run.len(), 2, "the embedder's and the policy model's: {of_run:?}");
    let mut others = Vec::new();
    for new in FOLDERS {
        let answers = names(&run.join(new).join("answers"));
        let (same, other): (Vec<_>, Vec<_>) = answers.into_iter().partition(|name| of_run.contains(name));
        assert_eq!((same.len(), other.len()), (1, 1), "the embedder is the same, the policy is not");
        let line = &lines(&run.join(new).join("answers"), &same[0])[0];
        assert_eq!(line["answer"]["embed"].as_array().map(Vec::len), Some(8), "the embedder's width");
        others.extend(other);
    }
    assert_ne!(others[0], others[1], "and it is another one before every stage");
}

#[test]
fn responses_made_elsewhere_cannot_be_sampled_anew() {
    let folder = scratch();
    let rows = folder.path().join("rows.jsonl");
    expect_success(udasa().arg("export").arg(small::finished()).arg("--out").arg(&rows));
    let responses = small::finished().join("responses.jsonl");
    let model = small::finished().join("initial");
    for (key, source) in [
        ("pairs.from", format!("[pairs]\nfrom = {rows:?}\n")),
        ("generate.from", format!("[generate]\nfrom = {responses:?}\n[[scorer]]\nplugin = \"semantic\"\n")),
    ] {
        let config = format!(
            "name = \"x\"\nseed = 1\n[model]\npath = {model:?}\n{source}[stage]\npolicy = \"terciles\"\nsettings = {{ resample = true }}\n"
        );
        let config = write(folder.path(), "config.toml", config);
        let run = folder.path().join(key);
        let command = |name: &str| {
            let mut command = udasa();
            command.arg(name).arg(&config).arg("--plugins").arg(plugins()).arg("--out").arg(&run);
            command
        };
        let needles = [
            "wants new responses before the stage `moderate`",
            &format!("`{key}`"),
            "turn resampling off in `stage.settings`",
        ];
        expect_user_error(&mut command("stage"), &needles);
        expect_user_error(&mut command("train"), &needles);
        assert!(!run.join("stages.jsonl").exists() && !run.join("checkpoints").exists());
    }
}
