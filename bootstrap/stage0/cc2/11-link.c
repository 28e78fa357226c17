/* Objects get addresses, and the program is written.
 *
 * The file is: ELF header, three program headers, text, data. Memory is the same from
 * TEXT_BASE on, with the data a page further than in the file and zeroed memory after it.
 */

enum { TEXT_BASE = 0x400000, HEADERS = 232, PAGE = 4096 };

struct object *objects;
struct object *last_object;

struct object *new_object(struct name *name)
{
    struct object *o = (struct object *)allocate(sizeof(struct object));
    o->name = name;
    o->align = 1;
    if (token) {
        o->file = token->file;
        o->line = token->line;
    }
    if (last_object) {
        last_object->next = o;
    } else {
        objects = o;
    }
    last_object = o;
    return o;
}

/* The object of that name which all source files share. */
struct object *external_object(struct name *name)
{
    if (!name->external) {
        name->external = new_object(name);
    }
    return name->external;
}

/* The code where the kernel enters: main(argc, argv, environment), then exit. */
void begin_program(void)
{
    struct object *main_object = external_object(name_of("main"));
    struct object *exit_object = external_object(name_of("exit"));
    text = (struct buffer *)allocate(sizeof(struct buffer));
    emit(0x31ED);                       /* xor ebp, ebp */
    emit(0x488B3C24);                   /* mov rdi, [rsp] */
    emit(0x488D742408);                 /* lea rsi, [rsp + 8] */
    emit(0x488D54FE08);                 /* lea rdx, [rsi + rdi * 8 + 8] */
    emit(0xE8);                         /* call main */
    add_text_fixup(main_object, 0, 0);
    emit(0x89C7);                       /* mov edi, eax */
    emit(0xE8);                         /* call exit */
    add_text_fixup(exit_object, 0, 0);
}

/* Give each object its address; data is laid out first, then what is zero. */
long place_objects(struct buffer *data, long data_address)
{
    struct object *o;
    long address = data_address;
    for (o = objects; o; o = o->next) {
        if (o->is_function) {
            o->address += TEXT_BASE + HEADERS;
        } else if (o->data && o->size) {
            while (data->length & (o->align - 1)) {
                put_byte(data, 0);
            }
            o->address = data_address + data->length;
            put_bytes(data, o->data, o->size);
        }
    }
    address += data->length;
    for (o = objects; o; o = o->next) {
        if (!o->is_function && !o->data && (o->tentative || o->defined)) {
            address = (address + o->align - 1) & -o->align;
            o->address = address;
            address += o->size;
        }
    }
    return address;
}

void apply_fixup(char *bytes, long bytes_address, struct fixup *f)
{
    struct object *o = f->target;
    long value = o->address + f->addend;
    if (!o->defined && !o->tentative) {
        fail_at(o->file, o->line, "declared and used, but not defined:", o->name->text);
    }
    if (f->kind == 0) {
        value -= bytes_address + f->place + 4;
    }
    write_number(bytes + f->place, value, 4 + 4 * (f->kind == 8));
}

void put_number(struct buffer *b, long value, long size)
{
    char *bytes = allocate(8);
    write_number(bytes, value, size);
    put_bytes(b, bytes, size);
}

void put_program_header(struct buffer *b, long type, long flags, long offset, long address,
                        long file_size, long memory_size)
{
    put_number(b, type, 4);
    put_number(b, flags, 4);
    put_number(b, offset, 8);
    put_number(b, address, 8);
    put_number(b, address, 8);
    put_number(b, file_size, 8);
    put_number(b, memory_size, 8);
    put_number(b, PAGE, 8);
}

void link_program(char *path)
{
    struct buffer *file = (struct buffer *)allocate(sizeof(struct buffer));
    struct buffer *data = (struct buffer *)allocate(sizeof(struct buffer));
    struct object *o;
    struct fixup *f;
    long text_end;
    long data_address;
    long end;
    token = 0;
    while ((HEADERS + text->length) & 15) {
        put_byte(text, 0);
    }
    text_end = HEADERS + text->length;
    data_address = TEXT_BASE + PAGE + text_end;
    end = place_objects(data, data_address);
    if (end >= 2147483647) {
        fail("the program needs more than 2 GiB", 0);
    }
    for (f = text_fixups; f; f = f->next) {
        apply_fixup(text->data, TEXT_BASE + HEADERS, f);
    }
    for (o = objects; o; o = o->next) {
        if (o->data && o->size) {
            for (f = o->fixups; f; f = f->next) {
                apply_fixup(data->data + o->address - data_address, o->address, f);
            }
        }
    }
    put_number(file, 0x464C457F, 4);    /* ELF */
    put_number(file, 0x00010102, 4);    /* 64 bits, little-endian, version 1 */
    put_number(file, 0, 8);
    put_number(file, 2, 2);             /* executable */
    put_number(file, 62, 2);            /* x86_64 */
    put_number(file, 1, 4);
    put_number(file, TEXT_BASE + HEADERS, 8);   /* entry */
    put_number(file, 64, 8);            /* program headers' offset */
    put_number(file, 0, 8);
    put_number(file, 0, 4);
    put_number(file, 64, 2);            /* size of this header */
    put_number(file, 56, 2);            /* size of a program header */
    put_number(file, 3, 2);
    put_number(file, 64, 2);
    put_number(file, 0, 4);
    put_program_header(file, 1, 5, 0, TEXT_BASE, text_end, text_end);
    put_program_header(file, 1, 6, text_end, data_address, data->length, end - data_address);
    put_program_header(file, 0x6474E551, 6, 0, 0, 0, 0);    /* the stack holds no code */
    put_bytes(file, text->data, text->length);
    put_bytes(file, data->data, data->length);
    write_file(path, file, 493);        /* mode 755 */
}
