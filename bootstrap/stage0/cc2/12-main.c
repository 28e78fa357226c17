/* cc2 -o OUT [-I FOLDER] [-D NAME[=TEXT]] FILE... : compile all files to one program. */

void compile(char *path)
{
    start_file(path);
    while (token->kind != END) {
        if (!accept(';')) {
            declaration(1);
        }
    }
    leave_file_scope();
}

void predefine(void)
{
    option_lines = (struct buffer *)allocate(sizeof(struct buffer));
    define_from_option("__cc2__");
    define_from_option("__STDC__");
    define_from_option("__STDC_VERSION__=199901L");
    define_from_option("__x86_64__");
    define_from_option("__LP64__");
    define_from_option("__linux__");
    define_from_option("__unix__");
    define_from_option("__CHAR_BIT__=8");
    define_from_option("__SIZE_TYPE__=unsigned long");
    define_from_option("__PTRDIFF_TYPE__=long");
    define_from_option("__WCHAR_TYPE__=int");
}

void usage(void)
{
    fail("usage: cc2 -o OUT [-I FOLDER] [-D NAME[=TEXT]] FILE...", 0);
}

long main(long argc, char **argv)
{
    char **files = (char **)allocate(8 * argc);
    long count = 0;
    char *out = 0;
    char *value;
    long i;
    long option;
    program = "cc2";
    predefine();
    define_keywords();
    define_types();
    for (i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            files[count] = argv[i];
            count++;
        } else {
            option = argv[i][1];
            value = argv[i] + 2;
            if (!*value) {
                i++;
                if (i == argc) {
                    usage();
                }
                value = argv[i];
            }
            switch (option) {
            case 'o':
                out = value;
                break;
            case 'I':
                add_include_folder(value);
                break;
            case 'D':
                define_from_option(value);
                break;
            default:
                usage();
            }
        }
    }
    if (!out || !count) {
        usage();
    }
    begin_program();
    for (i = 0; i < count; i++) {
        declare(SYMBOL_TYPEDEF, name_of("__builtin_va_list"), array_of(type_va_element, 1));
        compile(files[i]);
    }
    link_program(out);
    return 0;
}
