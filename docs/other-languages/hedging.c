// Doubts responses that hedge: the scorer of docs/other-languages.md, in C.
//
// Who owns what: arguments are ours and we free them; what is returned must come from malloc, and the glue frees it.

#include "scorer.h"

#include <stdlib.h>
#include <string.h>

// The glue's names are long.
#define API(name) exports_udasa_plugin_scorer_api_##name
typedef scorer_string_t string;
typedef API(list_problem_t) problems;

typedef struct {
  string *hedges;
  size_t count;
  uint32_t limit;
} settings;

static const char *const HEDGES[] = {"maybe", "perhaps", "probably", "possibly", "might", "guess"};
static const uint32_t LIMIT = 3;
static const char SCHEMA[] =
    "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {"
    "\"hedges\": {\"description\": \"Words that hedge, in lower case.\", \"type\": \"array\","
    " \"items\": {\"type\": \"string\"},"
    " \"default\": [\"maybe\", \"perhaps\", \"probably\", \"possibly\", \"might\", \"guess\"]},"
    "\"limit\": {\"description\": \"Hedges at which a response is doubted fully.\", \"type\": \"integer\","
    " \"minimum\": 1, \"maximum\": 4294967295, \"default\": 3}}}";

// Ends the call: what was logged last as an error is what the user reads.
_Noreturn static void panic(const char *message) {
  string text = {(uint8_t *)message, strlen(message)};
  udasa_plugin_log_write(UDASA_PLUGIN_LOG_LEVEL_ERROR, &text);
  abort();
}

static void *resized(void *old, size_t size) {
  void *block = realloc(old, size ? size : 1);
  if (!block) panic("out of memory");
  return block;
}

static bool same(string a, const char *b) { return a.len == strlen(b) && !memcmp(a.ptr, b, a.len); }

// --- Settings: as much JSON as they need. The host hands over one JSON object, valid, without spaces. ---

typedef struct {
  const uint8_t *at, *end;
} json;

static int peek(const json *j) { return j->at < j->end ? *j->at : -1; }
static bool take(json *j, int c) { return peek(j) == c ? (j->at++, true) : false; }

// A string, unescaped. \u stands only before control characters here, and no word has one: it becomes a space.
static string text_of(json *j) {
  string out = {resized(NULL, (size_t)(j->end - j->at)), 0};
  take(j, '"');
  while (j->at < j->end && !take(j, '"')) {
    uint8_t c = *j->at++;
    if (c == '\\' && j->at < j->end) {
      c = *j->at++;
      if (c == 'u') j->at += j->end - j->at < 4 ? j->end - j->at : 4;
      if (c != '"' && c != '\\' && c != '/') c = ' ';
    }
    out.ptr[out.len++] = c;
  }
  return out;
}

// Steps over a value of any kind.
static void skip(json *j) {
  size_t depth = 0;
  do {
    int c = peek(j);
    if (c == '"') {
      scorer_string_t unused = text_of(j);
      scorer_string_free(&unused);
    } else if (c == '[' || c == '{') {
      depth++;
      j->at++;
    } else if (c == ']' || c == '}') {
      depth--;
      j->at++;
    } else {
      if (j->at < j->end) j->at++;
      while (!depth && j->at < j->end && !strchr(",]}", *j->at)) j->at++;
    }
  } while (depth && j->at < j->end);
}

static void problem(problems *found, const string *path, const char *message) {
  found->ptr = resized(found->ptr, (found->len + 1) * sizeof *found->ptr);
  udasa_plugin_types_problem_t *new = &found->ptr[found->len++];
  new->path.ptr = memcpy(resized(NULL, path->len), path->ptr, path->len);
  new->path.len = path->len;
  scorer_string_dup(&new->message, message);
}

static void forget(settings *s) {
  for (size_t i = 0; i < s->count; i++) scorer_string_free(&s->hedges[i]);
  free(s->hedges);
  s->hedges = NULL;
  s->count = 0;
}

static void add(settings *s, string hedge) {
  s->hedges = resized(s->hedges, (s->count + 1) * sizeof hedge);
  s->hedges[s->count++] = hedge;
}

static bool read_hedges(json *j, settings *s) {
  forget(s);
  if (peek(j) != '[') return skip(j), false;
  bool words = true;
  take(j, '[');
  while (j->at < j->end && !take(j, ']')) {
    if (peek(j) == '"') add(s, text_of(j));
    else skip(j), words = false;
    take(j, ',');
  }
  return words;
}

static bool read_limit(json *j, settings *s) {
  const uint8_t *from = j->at;
  uint64_t value = 0;
  skip(j);
  for (const uint8_t *at = from; at < j->at; at++) {
    if (*at < '0' || *at > '9' || at - from >= 10) return false;
    value = value * 10 + (*at - '0');
  }
  s->limit = (uint32_t)value;
  return value >= 1 && value <= UINT32_MAX;
}

// The settings, and all that is wrong with them.
static settings read_settings(const string *text, problems *found) {
  settings s = {NULL, 0, LIMIT};
  for (size_t i = 0; i < sizeof HEDGES / sizeof *HEDGES; i++) {
    string hedge;
    scorer_string_dup(&hedge, HEDGES[i]);
    add(&s, hedge);
  }
  json j = {text->ptr, text->ptr + text->len};
  take(&j, '{');
  while (peek(&j) == '"') {
    string key = text_of(&j);
    take(&j, ':');
    if (same(key, "hedges")) {
      if (!read_hedges(&j, &s)) problem(found, &key, "must be a list of words");
    } else if (same(key, "limit")) {
      if (!read_limit(&j, &s)) problem(found, &key, "must be a whole number from 1 to 4294967295");
    } else {
      problem(found, &key, "there is no such setting");
      skip(&j);
    }
    scorer_string_free(&key);
    take(&j, ',');
  }
  return s;
}

// --- The scorer. ---

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; }
static bool of_word(uint8_t c) { return c == '\'' || (lower(c) >= 'a' && lower(c) <= 'z'); }

static bool hedges(const settings *s, const uint8_t *word, size_t len) {
  for (size_t i = 0; i < s->count; i++) {
    size_t same = 0;
    while (s->hedges[i].len == len && same < len && s->hedges[i].ptr[same] == lower(word[same])) same++;
    if (s->hedges[i].len == len && same == len) return true;
  }
  return false;
}

// Words are runs of A-Z, a-z and apostrophes, in lower case.
static double count_hedges(const settings *s, string text) {
  double count = 0;
  for (size_t from = 0, to = 0; to <= text.len; to++) {
    if (to < text.len && of_word(text.ptr[to])) continue;
    if (to > from && hedges(s, text.ptr + from, to - from)) count++;
    from = to + 1;
  }
  return count;
}

static void score_response(const settings *s, string text, API(response_score_t) *score) {
  double count = count_hedges(s, text);
  double uncertainty = count / s->limit;
  score->uncertainty = uncertainty < 1 ? uncertainty : 1;
  score->notes.ptr = resized(NULL, sizeof *score->notes.ptr);
  score->notes.len = 1;
  scorer_string_dup(&score->notes.ptr->name, "hedges");
  score->notes.ptr->value = count;
}

// --- What the contract wants. ---

void API(describe)(API(description_t) *it) {
  scorer_string_dup(&it->name, "hedging-c");
  scorer_string_dup(&it->version, "0.1.0");
  scorer_string_dup(&it->summary, "Doubts responses that hedge");
  it->dimension = EXPORTS_UDASA_PLUGIN_SCORER_API_DIMENSION_FACTUAL;
  it->asks.ptr = NULL;
  it->asks.len = 0;
  scorer_string_dup(&it->settings_schema, SCHEMA);
}

void API(check_settings)(string *text, problems *found) {
  *found = (problems){NULL, 0};
  settings s = read_settings(text, found);
  forget(&s);
  scorer_string_free(text);
}

// True: `step` holds the result. False: `fault` does.
bool API(score)(string *text, API(sample_t) *sample, API(list_list_answer_t) *rounds, API(step_t) *step,
                API(fault_t) *fault) {
  (void)fault;
  problems none = {NULL, 0};
  settings s = read_settings(text, &none);
  step->tag = EXPORTS_UDASA_PLUGIN_SCORER_API_STEP_DONE;
  API(list_response_score_t) *done = &step->val.done;
  done->len = sample->responses.len;
  done->ptr = resized(NULL, done->len * sizeof *done->ptr);
  for (size_t i = 0; i < done->len; i++) score_response(&s, sample->responses.ptr[i].text, &done->ptr[i]);
  API(list_problem_free)(&none);
  forget(&s);
  scorer_string_free(text);
  API(sample_free)(sample);
  API(list_list_answer_free)(rounds);
  return true;
}
