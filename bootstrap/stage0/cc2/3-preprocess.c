/* The preprocessor: directives, macros, and the stream of tokens the parser reads. */

enum { ORDINARY, SPECIAL_FILE, SPECIAL_LINE, SPECIAL_COUNTER };

struct macro {
    long special;               /* __FILE__ and the like */
    long is_function;
    long parameter_count;
    long variadic;              /* the last parameter takes all arguments that are left */
    struct token *body;
    long disabled;              /* being expanded */
};

struct condition {              /* an open #if */
    struct condition *outer;
    long taken;                 /* one of its parts was not left out */
    long had_else;
    long line;
};

struct folder {
    char *path;
    struct folder *next;
};

struct tokens {                 /* a list under construction */
    struct token *first;
    struct token *last;
};

struct folder *include_folders;
struct folder *last_include_folder;
struct buffer *option_lines;    /* the #define lines of -D */
struct token *ahead;            /* tokens the parser has peeked at */
long in_condition;              /* the parser evaluates an #if */
long source_depth;
long counter;
struct name *defined_names[65536];
long defined_count;
struct name *name_defined;
struct name *name_variadic;

struct token *expanded_token(void);

/* ---- lists ---- */

struct tokens *new_tokens(void)
{
    return (struct tokens *)allocate(sizeof(struct tokens));
}

/* Append t itself, which must not be in another list. */
void append(struct tokens *list, struct token *t)
{
    t->next = 0;
    if (list->last) {
        list->last->next = t;
    } else {
        list->first = t;
    }
    list->last = t;
}

void append_copies(struct tokens *list, struct token *t)
{
    for (; t; t = t->next) {
        append(list, copy_token(t));
    }
}

/* ---- sources ---- */

struct source *push_source(void)
{
    struct source *s = (struct source *)allocate(sizeof(struct source));
    s->outer = source;
    source = s;
    source_depth++;
    if (source_depth > 4000) {
        fail("includes or macros nested too deeply", 0);
    }
    return s;
}

void pop_source(void)
{
    if (source->macro) {
        source->macro->disabled = 0;
    }
    source = source->outer;
    source_depth--;
}

void push_text(char *path, char *content)
{
    struct source *s = push_source();
    s->path = path;
    s->cursor = content;
    s->line = 1;
    s->line_start = 1;
}

void push_list(struct token *list, struct macro *m, long barrier)
{
    struct source *s = push_source();
    s->list = list;
    s->macro = m;
    s->barrier = barrier;
    if (m) {
        m->disabled = 1;
    }
}

void directive(void);

/* The next token before macro expansion; carries out directives on the way. */
struct token *read_token(void)
{
    struct token *t;
    while (1) {
        if (!source->path) {
            t = source->list;
            if (t) {
                source->list = t->next;
                return t;
            }
            if (source->barrier) {
                t = (struct token *)allocate(sizeof(struct token));
                return t;
            }
            pop_source();
        } else {
            t = lex();
            if (t->kind == NEWLINE) {
                source->line_start = 1;
            } else if (t->kind == '#' && source->line_start) {
                directive();
            } else if (t->kind == END) {
                if (source->conditions) {
                    fail_at(source->path, source->conditions->line, "#if without #endif", 0);
                }
                if (!source->outer) {
                    return t;
                }
                pop_source();
            } else {
                source->line_start = 0;
                return t;
            }
        }
    }
}

/* ---- macros ---- */

void define(struct name *n, struct macro *m)
{
    if (!n->macro) {
        if (defined_count == 65536) {
            fail("too many macros", 0);
        }
        defined_names[defined_count] = n;
        defined_count++;
    }
    n->macro = m;
}

struct macro *new_macro(void)
{
    return (struct macro *)allocate(sizeof(struct macro));
}

/* The text of tokens as a string constant: the # operator. */
struct token *stringify(struct token *list, struct token *place)
{
    struct buffer *b = (struct buffer *)allocate(sizeof(struct buffer));
    struct token *result = copy_token(place);
    struct token *t;
    long i;
    put_byte(b, '"');
    for (t = list; t; t = t->next) {
        if (t->space && t != list) {
            put_byte(b, ' ');
        }
        for (i = 0; i < t->length; i++) {
            if ((t->kind == STRING || t->kind == CHARACTER) && (t->text[i] == '"' || t->text[i] == '\\')) {
                put_byte(b, '\\');
            }
            put_byte(b, t->text[i]);
        }
    }
    put_byte(b, '"');
    result->kind = STRING;
    result->length = b->length;
    put_byte(b, 0);
    result->text = b->data;
    return result;
}

/* One token from the text of two: the ## operator. */
struct token *paste(struct token *left, struct token *right)
{
    char *text = allocate(left->length + right->length + 2);
    struct token *result;
    copy_bytes(text, left->text, left->length);
    copy_bytes(text + left->length, right->text, right->length);
    text[left->length + right->length] = '\n';
    push_text(left->file, text);
    result = lex();
    pop_source();
    result->line = left->line;
    result->space = left->space;
    if (result->length != left->length + right->length) {
        fail_at(left->file, left->line, "## does not give a token", copy_text(text, left->length + right->length));
    }
    return result;
}

/* The full expansion of a list. */
struct token *expand_list(struct token *list)
{
    struct tokens *result = new_tokens();
    struct token *t;
    push_list(list, 0, 1);
    t = expanded_token();
    while (t->kind != END) {
        append(result, copy_token(t));
        t = expanded_token();
    }
    pop_source();
    return result->first;
}

/* Read the arguments of a macro, after its '('; arguments[i] becomes the i-th list. */
void read_arguments(struct macro *m, struct token *place, struct tokens **arguments)
{
    long count = 0;
    long depth = 0;
    struct token *t;
    arguments[0] = new_tokens();
    while (1) {
        t = read_token();
        if (t->kind == END) {
            fail_at(place->file, place->line, "arguments without end for macro", place->name->text);
        }
        if (t->kind == ')' && depth == 0) {
            break;
        }
        if (t->kind == ',' && depth == 0 && !(m->variadic && count == m->parameter_count - 1)) {
            count++;
            if (count >= m->parameter_count) {
                fail_at(place->file, place->line, "too many arguments for macro", place->name->text);
            }
            arguments[count] = new_tokens();
        } else {
            depth += (t->kind == '(') - (t->kind == ')');
            t = copy_token(t);
            if (t->name && t->name->macro && t->name->macro->disabled) {
                t->painted = 1;
            }
            append(arguments[count], t);
        }
    }
    count++;
    if (count == m->parameter_count - 1 && m->variadic) {
        arguments[count] = new_tokens();
        count++;
    }
    if (count < m->parameter_count) {
        fail_at(place->file, place->line, "too few arguments for macro", place->name->text);
    }
    if (m->parameter_count == 0 && arguments[0]->first) {
        fail_at(place->file, place->line, "too many arguments for macro", place->name->text);
    }
}

/* What one body token stands for next to ##: an argument as it was written, or itself. */
struct token *unexpanded(struct token *t, struct tokens **arguments)
{
    struct tokens *list = new_tokens();
    if (t->parameter) {
        append_copies(list, arguments[t->parameter - 1]->first);
    } else {
        append(list, copy_token(t));
    }
    return list->first;
}

/* Carry out a chain  a ## b ## c  that begins at body token *at; leave *at at its last token. */
struct token *paste_chain(struct macro *m, struct token **at, struct tokens **arguments)
{
    struct token *t = *at;
    struct tokens *result = new_tokens();
    struct token *right;
    struct token *pasted;
    struct token *p;
    append_copies(result, unexpanded(t, arguments));
    while (t->next && t->next->kind == PASTE && t->next->next) {
        right = t->next->next;
        if (t->kind == ',' && m->variadic && right->parameter == m->parameter_count) {
            /* , ## __VA_ARGS__: the comma goes when there are no arguments */
            if (arguments[right->parameter - 1]->first) {
                append_copies(result, expand_list(unexpanded(right, arguments)));
            } else {
                result = new_tokens();
            }
        } else {
            p = unexpanded(right, arguments);
            if (p && result->last) {
                pasted = paste(result->last, p);
                pasted->next = 0;
                copy_bytes((char *)result->last, (char *)pasted, sizeof(struct token));
                p = p->next;
            }
            append_copies(result, p);
        }
        t = right;
    }
    *at = t;
    return result->first;
}

/* The body of a macro with its arguments put in. */
struct token *substitute(struct macro *m, struct token *place, struct tokens **arguments)
{
    struct tokens *result = new_tokens();
    struct token *t;
    struct token *copy;
    for (t = m->body; t; t = t->next) {
        if (t->kind == '#' && m->is_function && t->next && t->next->parameter) {
            copy = stringify(arguments[t->next->parameter - 1]->first, t);
            append(result, copy);
            t = t->next;
        } else if (t->next && t->next->kind == PASTE && t->next->next) {
            append_copies(result, paste_chain(m, &t, arguments));
        } else if (t->parameter) {
            copy = expand_list(unexpanded(t, arguments));
            if (copy) {
                copy->space = t->space;
            }
            append_copies(result, copy);
        } else {
            append(result, copy_token(t));
        }
    }
    for (t = result->first; t; t = t->next) {
        t->file = place->file;
        t->line = place->line;
    }
    if (result->first) {
        result->first->space = place->space;
    }
    return result->first;
}

struct token *number_token(struct token *place, long value)
{
    struct token *t = copy_token(place);
    char *digits = allocate(24);
    long i = 22;
    digits[i] = '0' + value % 10;
    for (value = value / 10; value; value = value / 10) {
        i--;
        digits[i] = '0' + value % 10;
    }
    t->kind = NUMBER;
    t->name = 0;
    t->text = digits + i;
    t->length = 23 - i;
    return t;
}

struct token *special_token(struct macro *m, struct token *place)
{
    struct token *t;
    if (m->special == SPECIAL_LINE) {
        return number_token(place, place->line);
    }
    if (m->special == SPECIAL_COUNTER) {
        counter++;
        return number_token(place, counter - 1);
    }
    t = copy_token(place);
    t->kind = STRAY;
    t->text = place->file;
    t->length = text_length(place->file);
    return stringify(t, place);
}

/* The next token after macro expansion. */
struct token *expanded_token(void)
{
    struct token *t;
    struct token *open;
    struct macro *m;
    struct tokens **arguments;
    while (1) {
        t = read_token();
        if (t->kind != NAME || !t->name->macro || t->painted) {
            return t;
        }
        m = t->name->macro;
        if (m->disabled) {
            t = copy_token(t);
            t->painted = 1;
            return t;
        }
        if (m->special) {
            return special_token(m, t);
        }
        arguments = 0;
        if (m->is_function) {
            open = read_token();
            if (open->kind != '(') {
                if (open->kind != END) {
                    push_list(copy_token(open), 0, 0);
                }
                return t;
            }
            arguments = (struct tokens **)allocate(8 * (m->parameter_count + 2));
            read_arguments(m, t, arguments);
        }
        push_list(substitute(m, t, arguments), m, 0);
    }
}

/* ---- directives ---- */

/* The rest of the line, unexpanded. */
struct token *rest_of_line(void)
{
    struct tokens *list = new_tokens();
    struct token *t = lex();
    while (t->kind != NEWLINE && t->kind != END) {
        append(list, t);
        t = lex();
    }
    source->line_start = 1;
    return list->first;
}

struct name *macro_name(struct token *t)
{
    if (!t || t->kind != NAME) {
        fail_at(source->path, source->line - 1, "directive without a name", 0);
    }
    return t->name;
}

/* Read the parameters of a #define, from '('; give the token after ')'. */
struct token *define_parameters(struct macro *m, struct token *t, struct name **parameters)
{
    struct token *open = t;
    t = t->next;
    while (t && t->kind != ')') {
        if (m->parameter_count == 255) {
            fail_at(open->file, open->line, "too many macro parameters", 0);
        }
        if (t->kind == ELLIPSIS) {
            m->variadic = 1;
            parameters[m->parameter_count] = name_variadic;
        } else if (t->kind == NAME) {
            parameters[m->parameter_count] = t->name;
            if (t->next && t->next->kind == ELLIPSIS) {
                m->variadic = 1;
                t = t->next;
            }
        } else {
            fail_at(t->file, t->line, "bad macro parameter", token_text(t));
        }
        m->parameter_count++;
        t = t->next;
        if (t && t->kind == ',' && !m->variadic) {
            t = t->next;
        } else if (t && t->kind != ')') {
            fail_at(t->file, t->line, "bad macro parameter", token_text(t));
        }
    }
    if (!t) {
        fail_at(open->file, open->line, "macro parameters without ')'", 0);
    }
    return t->next;
}

void directive_define(struct token *line)
{
    struct macro *m = new_macro();
    struct name *n = macro_name(line);
    struct name **parameters = (struct name **)allocate(8 * 256);
    struct token *t = line->next;
    long i;
    if (t && t->kind == '(' && !t->space) {
        m->is_function = 1;
        t = define_parameters(m, t, parameters);
    }
    m->body = t;
    for (; t; t = t->next) {
        for (i = 0; i < m->parameter_count; i++) {
            if (t->kind == NAME && t->name == parameters[i]) {
                t->parameter = i + 1;
            }
        }
    }
    define(n, m);
}

/* Open `folder/name`; give 1 if the file exists. */
long include_file(char *folder, char *name)
{
    char *path = name;
    char *content;
    if (*folder) {
        path = join_text(join_text(folder, "/"), name);
    }
    content = read_file(path);
    if (content) {
        join_lines(content);
        push_text(path, content);
    }
    return content != 0;
}

char *folder_of(char *path)
{
    long slash = text_length(path);
    while (slash > 0 && path[slash] != '/') {
        slash--;
    }
    return copy_text(path, slash);
}

void directive_include(struct token *line)
{
    struct folder *f;
    struct token *t = line;
    char *name = 0;
    char *start;
    char *end;
    long quoted = 0;
    if (t && t->kind == NAME) {
        t = expand_list(t);
    }
    if (t && t->kind == STRING) {
        quoted = 1;
        name = copy_text(t->text + 1, t->length - 2);
    } else if (t && t->kind == '<') {
        start = t->text + 1;
        for (end = start; *end != '>'; end++) {
            if (*end == '\n') {
                fail_at(source->path, source->line - 1, "#include without '>'", 0);
            }
        }
        name = copy_text(start, end - start);
    } else {
        fail_at(source->path, source->line - 1, "#include needs a file name", 0);
    }
    if (*name == '/' && include_file("", name)) {
        return;
    }
    if (quoted && include_file(folder_of(source->path), name)) {
        return;
    }
    for (f = include_folders; f; f = f->next) {
        if (include_file(f->path, name)) {
            return;
        }
    }
    fail_at(source->path, source->line - 1, "file not found:", name);
}

/* Replace `defined NAME` and `defined(NAME)` by 1 or 0. */
struct token *replace_defined(struct token *line)
{
    struct tokens *result = new_tokens();
    struct token *t;
    struct token *place;
    long bracket;
    for (t = line; t; t = t->next) {
        if (t->kind == NAME && t->name == name_defined) {
            place = t;
            t = t->next;
            bracket = t && t->kind == '(';
            if (bracket) {
                t = t->next;
            }
            append(result, number_token(place, macro_name(t)->macro != 0));
            if (bracket) {
                t = t->next;
                if (!t || t->kind != ')') {
                    fail_at(place->file, place->line, "defined without ')'", 0);
                }
            }
        } else {
            append(result, copy_token(t));
        }
    }
    return result->first;
}

/* The value of an #if or #elif line, by the parser of expressions. */
long condition_value(struct token *line)
{
    struct token *saved_token = token;
    struct token *saved_ahead = ahead;
    long line_number = source->line - 1;
    char *path = source->path;
    long value;
    if (!line) {
        fail_at(path, line_number, "#if without a condition", 0);
    }
    push_list(expand_list(replace_defined(line)), 0, 1);
    in_condition = 1;
    ahead = 0;
    next();
    value = 0;
    if (token->kind == END) {
        fail_at(path, line_number, "#if without a condition", 0);
    }
    value = preprocessor_condition();
    if (token->kind != END) {
        fail_at(path, line_number, "junk in #if condition:", token_text(token));
    }
    in_condition = 0;
    pop_source();
    token = saved_token;
    ahead = saved_ahead;
    return value;
}

void open_condition(long value);

/* Leave out lines up to the #elif, #else or #endif that ends this part. */
void skip_part(void)
{
    struct condition *c = source->conditions;
    struct token *t;
    long depth = 0;
    char *word;
    while (1) {
        skipping = 1;
        t = lex();
        while (t->kind == NEWLINE) {
            t = lex();
        }
        if (t->kind == END) {
            fail_at(source->path, c->line, "#if without #endif", 0);
        }
        if (t->kind == '#') {
            t = lex();
            skipping = 0;
            if (t->kind == NAME) {
                word = t->name->text;
                if (same_text(word, "if") || same_text(word, "ifdef") || same_text(word, "ifndef")) {
                    depth++;
                } else if (same_text(word, "endif")) {
                    if (depth == 0) {
                        source->conditions = c->outer;
                        rest_of_line();
                        return;
                    }
                    depth--;
                } else if (same_text(word, "else") && depth == 0) {
                    if (c->had_else) {
                        fail_at(t->file, t->line, "second #else", 0);
                    }
                    c->had_else = 1;
                    if (!c->taken) {
                        c->taken = 1;
                        rest_of_line();
                        return;
                    }
                } else if (same_text(word, "elif") && depth == 0 && !c->taken) {
                    if (condition_value(rest_of_line())) {
                        c->taken = 1;
                        return;
                    }
                    t = 0;
                }
            }
        }
        if (t && t->kind != NEWLINE) {
            skipping = 1;
            rest_of_line();
        }
        skipping = 0;
    }
}

void open_condition(long value)
{
    struct condition *c = (struct condition *)allocate(sizeof(struct condition));
    c->outer = source->conditions;
    c->line = source->line - 1;
    c->taken = value;
    source->conditions = c;
    if (!value) {
        skip_part();
    }
}

void directive_line(struct token *line)
{
    struct token *t = expand_list(line);
    long value = 0;
    long i;
    if (!t || t->kind != NUMBER) {
        fail_at(source->path, source->line - 1, "#line needs a number", 0);
    }
    for (i = 0; i < t->length; i++) {
        value = value * 10 + t->text[i] - '0';
    }
    source->line = value;
    if (t->next && t->next->kind == STRING) {
        source->path = copy_text(t->next->text + 1, t->next->length - 2);
    }
}

/* Carry out the directive after a '#'. */
void directive(void)
{
    struct token *t = lex();
    struct token *line;
    char *start = source->cursor;
    char *word;
    source->line_start = 1;
    if (t->kind == NEWLINE || t->kind == END) {
        return;
    }
    if (t->kind == NUMBER) {
        rest_of_line();
        return;
    }
    if (t->kind != NAME) {
        fail_at(t->file, t->line, "bad directive", token_text(t));
    }
    word = t->name->text;
    if (same_text(word, "error")) {
        while (*source->cursor != '\n') {
            source->cursor++;
        }
        fail_at(t->file, t->line, copy_text(start, source->cursor - start), 0);
    }
    skipping = same_text(word, "warning") || same_text(word, "pragma") || same_text(word, "ident");
    line = rest_of_line();
    if (skipping) {
        skipping = 0;
        if (same_text(word, "pragma") && line && (line->name == name_of("pack") ||
            line->name == name_of("push_macro") || line->name == name_of("pop_macro"))) {
            fail_at(t->file, t->line, "refused: #pragma", line->name->text);
        }
    } else if (same_text(word, "define")) {
        directive_define(line);
    } else if (same_text(word, "undef")) {
        macro_name(line)->macro = 0;
    } else if (same_text(word, "include")) {
        directive_include(line);
    } else if (same_text(word, "ifdef")) {
        open_condition(macro_name(line)->macro != 0);
    } else if (same_text(word, "ifndef")) {
        open_condition(macro_name(line)->macro == 0);
    } else if (same_text(word, "if")) {
        open_condition(condition_value(line) != 0);
    } else if (same_text(word, "elif") || same_text(word, "else")) {
        if (!source->conditions) {
            fail_at(t->file, t->line, "without #if: #", word);
        }
        if (source->conditions->had_else) {
            fail_at(t->file, t->line, "after #else: #", word);
        }
        if (same_text(word, "else")) {
            source->conditions->had_else = 1;
        }
        skip_part();
    } else if (same_text(word, "endif")) {
        if (!source->conditions) {
            fail_at(t->file, t->line, "without #if: #", word);
        }
        source->conditions = source->conditions->outer;
    } else if (same_text(word, "line")) {
        directive_line(line);
    } else {
        fail_at(t->file, t->line, "unknown directive", word);
    }
}

/* ---- what the parser calls ---- */

struct token *parser_token(void)
{
    struct token *t = expanded_token();
    if (t->kind == NAME && t->name->keyword && !in_condition) {
        t = copy_token(t);
        t->kind = t->name->keyword;
    }
    return t;
}

void next(void)
{
    if (ahead) {
        token = ahead;
        ahead = 0;
    } else {
        token = parser_token();
    }
}

/* The token after the current one. */
struct token *peek(void)
{
    if (!ahead) {
        ahead = parser_token();
    }
    return ahead;
}

void define_special(long special, char *text)
{
    struct macro *m = new_macro();
    m->special = special;
    define(name_of(text), m);
}

/* Begin a source file, with no macros but the predefined ones. */
void start_file(char *path)
{
    char *content = read_file(path);
    long i;
    if (!content) {
        fail_at(0, 0, "cannot open", path);
    }
    join_lines(content);
    for (i = 0; i < defined_count; i++) {
        defined_names[i]->macro = 0;
    }
    defined_count = 0;
    name_defined = name_of("defined");
    name_variadic = name_of("__VA_ARGS__");
    define_special(SPECIAL_FILE, "__FILE__");
    define_special(SPECIAL_LINE, "__LINE__");
    define_special(SPECIAL_COUNTER, "__COUNTER__");
    source = 0;
    source_depth = 0;
    ahead = 0;
    push_text(path, content);
    put_byte(option_lines, 0);
    option_lines->length--;
    push_text("<predefined>", copy_text(option_lines->data, option_lines->length));
    next();
}

/* -D NAME or -D NAME=TEXT */
void define_from_option(char *option)
{
    char *p = option;
    put_bytes(option_lines, "#define ", 8);
    while (*p && *p != '=') {
        put_byte(option_lines, *p);
        p++;
    }
    put_byte(option_lines, ' ');
    if (*p) {
        put_bytes(option_lines, p + 1, text_length(p + 1));
    } else {
        put_byte(option_lines, '1');
    }
    put_byte(option_lines, '\n');
}

void add_include_folder(char *path)
{
    struct folder *f = (struct folder *)allocate(sizeof(struct folder));
    f->path = path;
    if (last_include_folder) {
        last_include_folder->next = f;
    } else {
        include_folders = f;
    }
    last_include_folder = f;
}
