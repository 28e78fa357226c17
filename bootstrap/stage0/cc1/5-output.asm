; 5-output: the executable.

PAGE = 4096
HEADER_SIZE = 0xe8
header:                             ; goes before the code
    quad 0x00010102464c457f         ; 7f E L F, 64 bits, lowest byte first, version 1
    quad 0
    long 0x003e0002                 ; an executable for x86-64
    long 1
    quad 0x400000+HEADER_SIZE       ; it starts after the header
    quad 0x40                       ; program headers at offset 0x40
    quad 0
    long 0
    long 0x00380040                 ; sizes of this header and of a program header
    long 3                          ; three program headers
    long 0
; The code.
    long 1                          ; loaded
    long 5                          ; may be read and run
    quad 0                          ; from the start of the file
    quad 0x400000                   ; to this address
    quad 0x400000
    quad 0                          ; HEADER_CODE: its size in the file
    quad 0                          ;   and in memory
    quad PAGE
; The strings.
    long 1
    long 4                          ; may be read
    quad 0                          ; HEADER_STRINGS: their place in the file
    quad STRINGS_ADDRESS
    quad STRINGS_ADDRESS
    quad 0                          ;   their size in the file
    quad 0                          ;   and in memory
    quad PAGE
; The globals.
    long 1
    long 6                          ; may be read and written
    quad 0
    quad SPACE_ADDRESS
    quad SPACE_ADDRESS
    quad 0                          ; nothing of them is in the file
    quad 0                          ; HEADER_GLOBALS: their size in memory
    quad PAGE
HEADER_CODE = 0x60
HEADER_STRINGS = 0x80
HEADER_GLOBALS = 0xd8

reserve call_main 8                 ; the call of main that waits

begin_output:                       ; the header, and a call of main
    mov rsi, header
    mov rdi, code
    mov ecx, HEADER_SIZE
    rep movsb
    mov [code_end], rdi
    mov [strings_used], 8           ; so that there are some
    mov [space], SPACE_ADDRESS+8
    mov [scope_end], scopes
    mov [cases_end], cases
    put 48 8b 3c 24                 ; mov rdi, [rsp]: argc
    put 48 8d 74 24 08              ; lea rsi, [rsp+8]: argv
    put 57 56 e8                    ; push rdi; push rsi; call main
    xor eax, eax
    call put_link
    mov [call_main], rax
    put 48 89 c7                    ; mov rdi, rax: the status
    put b8 3c 00 00 00 0f 05        ; mov eax, 60: exit; syscall
    ret

end_output:                         ; resolve all calls, and write the file
    mov rax, [name_main]
    mov [fail_name], rax
    mov rdx, [rax+NAME_VALUE]
    mov rcx, [rax+NAME_KIND]
    if rcx != FUNCTION goto .no_main
    mov rcx, [rax+NAME_COUNT]
    if rcx != 2 goto .no_main
    test rdx, rdx
    je .no_main
    mov rax, [call_main]
    call resolve
    mov rbx, buckets
.bucket:
    mov rbp, [rbx]
.name:
    test rbp, rbp
    je .next_bucket
    mov rax, [rbp+NAME_CALLS]
    test rax, rax
    je .resolved
    mov rdx, [rbp+NAME_VALUE]
    mov [fail_name], rbp
    test rdx, rdx
    je .undefined
    call resolve
.resolved:
    mov rbp, [rbp+NAME_CHAIN]
    jmp .name
.next_bucket:
    add rbx, 8
    if rbx < buckets+8192 goto .bucket
    mov [fail_name], 0

; Fill the header.
    mov rax, [code_end]
    sub rax, code
    mov [code+HEADER_CODE], rax
    mov [code+HEADER_CODE+8], rax
    add rax, PAGE-1
    and rax, -PAGE                  ; strings begin a page
    mov [code+HEADER_STRINGS], rax
    lea rdi, [rax+code]
    mov rcx, [strings_used]
    mov [code+HEADER_STRINGS+24], rcx
    mov [code+HEADER_STRINGS+32], rcx
    mov rax, [space]
    sub rax, SPACE_ADDRESS
    mov [code+HEADER_GLOBALS], rax

; The strings follow the code.
    mov rsi, strings
    rep movsb
    mov rbx, rdi
    sub rbx, code                   ; the size of the file

    mov rdi, [out]
    mov [file], rdi
    mov eax, 87                     ; unlink: a program that runs cannot be written to
    syscall
    mov rdi, [out]
    mov esi, 0x241                  ; write, create, make it empty
    mov edx, 0x1ed                  ; permissions 755
    mov eax, 2                      ; open
    syscall
    mov rdi, rax
    mov rsi, code
    mov rdx, rbx
    mov eax, 1                      ; write
    syscall
    cmp rax, rbx
    jne .cannot
    ret
.no_main:
    fail "the program needs main of two parameters"
.undefined:
    fail "called, but not defined"
.cannot:
    fail "cannot write"

end:
