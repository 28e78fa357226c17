; 2-words: messages, memory, and the words of the source.

; ---- the start ----

start:
    lea rax, [rsp+16]
    mov [arguments], rax            ; where OUT's address lies; those of the files follow
    mov rax, [rax]
    mov [out], rax
    mov [file], rax                 ; for messages, until a file is read
    mov [structs_end], structs+72
    mov [space], 0x10000000
    call begin_output
    call add_keywords
    call next                       ; the first word
program_next:
    if [token] = 0 goto program_done
    call file_scope
    jmp program_next
program_done:
    call end_output
    xor edi, edi
exit:                               ; with the status rdi
    mov eax, 60
    syscall

; ---- errors ----

fail:                               ; print FILE:LINE: and the text after the call
    mov rsi, [file]
    call print
    mov rsi, colon
    call print
    mov rax, [token_line]
    mov rsi, digits+31
fail_digit:
    xor edx, edx
    mov ecx, 10
    div rcx
    add rdx, '0'
    dec rsi
    mov [rsi], dl
    test rax, rax
    jne fail_digit
    call print
    mov rsi, colon_blank
    call print
    pop rsi                         ; the message stands where the call would return to
    call print
    if [fail_name] = 0 goto .end
    mov rsi, colon_blank
    call print
    mov rsi, [fail_name]
    add rsi, NAME_TEXT
    call print
.end:
    mov rsi, line_end
    call print
    mov edi, 1
    jmp exit

print:                              ; the text at rsi, if any, to standard error
    test rsi, rsi
    je .none
    mov rdx, rsi
.length:
    mov al, [rdx]
    inc rdx
    if al != 0 goto .length
    sub rdx, rsi
    dec rdx
    mov edi, 2
    mov eax, 1                      ; write
    syscall
.none:
    ret

colon:
    text ":"
colon_blank:
    text ": "
line_end:
    byte 10
    byte 0

; ---- memory ----

allocate:                           ; rax = rdx bytes of zeros
    mov rax, [heap_used]
    add rdx, 7
    and rdx, -8
    add rdx, rax
    mov [heap_used], rdx
    if rdx > HEAP_SIZE goto no_memory
    add rax, heap
    ret
no_memory:
    fail "the program is too large"

; ---- characters ----

; rbx is at the next character of the source. A zero ends a file.

next_file:                          ; ZF: there is none
    mov rax, [arguments]
    add rax, 8
    mov [arguments], rax
    mov rdi, [rax]
    test rdi, rdi
    je .none
    mov [file], rdi
    mov [line], 1
    mov [token_line], 0
    xor esi, esi                    ; to read
    mov eax, 2                      ; open
    syscall
    mov rdi, rax
    mov rsi, file_text
    mov rbx, rsi
    mov edx, FILE_SIZE-1
    xor eax, eax                    ; read
    syscall
    if rax >= FILE_SIZE-1 goto .failed    ; too long, or (as a very large number) failed
    add rax, rbx
    mov [file_end], rax
    mov byte [rax], 0               ; ends the text
    mov rax, 1
    test rax, rax
.none:
    ret
.failed:
    fail "cannot read"

skip_blanks:                        ; rbx goes to the next character of a word, al is it
    mov al, [rbx]
    if al = 0 goto .done
    if al = '/' goto .slash
    if al > ' ' goto .done
    inc rbx
    if al != 10 goto skip_blanks
    inc [line]
    jmp skip_blanks
.slash:
    mov al, [rbx+1]
    if al = '/' goto .to_line_end
    if al = '*' goto .comment
    mov al, '/'
.done:
    ret
.to_line_end:
    inc rbx
    mov al, [rbx]
    if al = 0 goto .done
    if al != 10 goto .to_line_end
    jmp skip_blanks
.comment:
    add rbx, 2
.in_comment:
    mov al, [rbx]
    inc rbx
    if al = 0 goto .no_end
    if al = 10 goto .comment_line
    if al != '*' goto .in_comment
    mov al, [rbx]
    if al != '/' goto .in_comment
    inc rbx
    jmp skip_blanks
.comment_line:
    inc [line]
    jmp .in_comment
.no_end:
    mov rax, [line]
    mov [token_line], rax
    fail "a comment without end"

; ---- words ----

; The word looked at is in `token`: 0 at the end; a character that is a word of its own;
; NUMBER, STRING, NAME; a keyword; a character + TWICE (<< >> && || ++ -- ==), + EQUAL
; (<= >= != += ...), or + both (<<= >>=); ARROW. Its number, or a string's address, is in
; token_value; its name in token_name.

next:                               ; look at the next word
    mov rbx, [source]
.again:
    call skip_blanks
    if al != 0 goto .word
    cmp rbx, [file_end]
    jne .zero
    call next_file
    jne .again
    mov [token], 0
    ret
.zero:
    fail "a zero byte"
.word:
    mov rcx, [line]
    mov [token_line], rcx
    if al = '"' goto string
    if al = ''' goto character
    call is_name_character
    jne operator
    if al <= '9' goto number

; A name: rdx counts its characters.
    xor edx, edx
    xor ecx, ecx                    ; a sum that tells names apart
.name:
    mov al, [rbx+rdx]
    call is_name_character
    jne .name_end
    movzx eax, al
    lea rcx, [rcx+rcx*2]
    add rcx, rax
    inc rdx
    jmp .name
.name_end:
    mov rsi, rbx
    add rbx, rdx
    mov [source], rbx
    if rdx > 63 goto .too_long
    call find_name
    mov [token_name], rax
    mov rcx, [rax+NAME_KEYWORD]
    mov [token], NAME
    test rcx, rcx
    je .done
    mov [token], rcx
.done:
    ret
.too_long:
    fail "a name of more than 63 characters"

is_name_character:                  ; ZF: al is a letter, a digit or '_'
    if al = '_' goto .yes
    if al < '0' goto .no
    if al <= '9' goto .yes
    if al < 'A' goto .no
    if al <= 'Z' goto .yes
    if al < 'a' goto .no
    if al <= 'z' goto .yes
.no:
    cmp rsp, 0
    ret
.yes:
    cmp al, al
    ret

number:                             ; decimal or 0x
    mov [token], NUMBER
    xor edx, edx
    mov ecx, 10
    if al != '0' goto .digit
    mov al, [rbx+1]
    if al != 'x' goto .digit
    mov ecx, 16
    add rbx, 2
.digit:
    movzx eax, byte [rbx]
    call is_name_character
    jne .end
    if al <= '9' goto .decimal
    or al, 0x20
    sub al, 'a'-'0'-10
.decimal:
    sub al, '0'
    cmp rax, rcx
    jae .bad
    imul rdx, rcx
    add rdx, rax
    inc rbx
    jmp .digit
.end:
    mov [token_value], rdx
    mov [source], rbx
    ret
.bad:
    fail "not a number"

character:
    inc rbx
    mov [token], NUMBER
    call one_character
    movzx eax, al
    mov [token_value], rax
    mov al, [rbx]
    if al != ''' goto .bad
    inc rbx
    mov [source], rbx
    ret
.bad:
    fail "not a character"

string:                             ; goes to the program's strings at once
    inc rbx
    mov [token], STRING
    mov rdi, [strings_used]
    lea rax, [rdi+STRINGS_ADDRESS]
    mov [token_value], rax
.next:
    if rdi >= STRINGS_SIZE goto no_memory
    mov al, [rbx]
    if al = '"' goto .end
    call one_character
    mov [rdi+strings], al
    inc rdi
    jmp .next
.end:
    inc rdi                         ; a zero ends it
    mov [strings_used], rdi
    inc rbx
    mov [source], rbx
    ret

one_character:                      ; al = the character at rbx, or what \x stands for
    mov al, [rbx]
    inc rbx
    if al < ' ' goto .bad
    if al != '\' goto .done
    mov al, [rbx]
    inc rbx
    mov ecx, 10
    if al = 'n' goto .special
    mov ecx, 9
    if al = 't' goto .special
    mov ecx, 13
    if al = 'r' goto .special
    mov ecx, 0
    if al = '0' goto .special
    if al = '\' goto .done
    if al = ''' goto .done
    if al = '"' goto .done
.bad:
    fail "not a character"
.special:
    mov eax, ecx
.done:
    ret

operator:                           ; al is its first character
    movzx eax, al
    inc rbx
    mov cl, [rbx]
    cmp al, cl
    jne .not_twice
    if al = '<' goto .shift
    if al = '>' goto .shift
    if al = '&' goto .twice
    if al = '|' goto .twice
    if al = '+' goto .twice
    if al = '-' goto .twice
    if al = '=' goto .twice
    jmp .done
.not_twice:
    if cl = '=' goto .perhaps_equal
    if al != '-' goto .done
    if cl != '>' goto .done
    inc rbx
    mov eax, ARROW
    jmp .done
.shift:
    inc rbx
    add rax, TWICE
    mov cl, [rbx]
    if cl = '=' goto .equal
    jmp .done
.twice:
    inc rbx
    add rax, TWICE
    jmp .done
.perhaps_equal:
    mov rsi, before_equal
.look:
    mov cl, [rsi]
    inc rsi
    if cl = 0 goto .done
    cmp al, cl
    jne .look
.equal:
    inc rbx
    add rax, EQUAL
.done:
    mov [token], rax
    mov [source], rbx
    ret
before_equal:
    text "<>!+-*/%&|^"

; ---- names ----

find_name:                          ; rax = the record of the name of length rdx at rsi; rcx is its sum
    and rcx, 1023
    lea r8, [rcx*8+buckets]
    mov rax, [r8]
.next:
    test rax, rax
    je .new
    cmp rdx, [rax+NAME_LENGTH]
    jne .differs
    push rsi
    mov rcx, rdx
    lea rdi, [rax+NAME_TEXT]
    repe cmpsb
    pop rsi
    je .done
.differs:
    mov rax, [rax+NAME_CHAIN]
    jmp .next
.new:
    push rdx
    add rdx, NAME_TEXT+1
    call allocate
    pop rdx
    mov rcx, [r8]
    mov [rax+NAME_CHAIN], rcx
    mov [r8], rax
    mov [rax+NAME_LENGTH], rdx
    mov rcx, rdx
    lea rdi, [rax+NAME_TEXT]
    rep movsb
.done:
    ret

add_keywords:                       ; read the list below as if it were a file
    mov [source], keywords
    mov [file_end], keyword_codes-1
    mov rbp, keyword_codes
.next:
    call next
    mov rcx, [rbp]
    add rbp, 8
    mov rax, [token_name]
    mov [rax+NAME_KEYWORD], rcx
    test rcx, rcx
    jne .next
    mov [name_syscall], rax
    call next
    mov rax, [token_name]
    mov [name_main], rax
    ret

keywords:
    text "long char void struct enum if else while for switch case default break continue return sizeof syscall main"
keyword_codes:
    quad LONG
    quad CHAR
    quad VOID
    quad STRUCT
    quad ENUM
    quad IF
    quad ELSE
    quad WHILE
    quad FOR
    quad SWITCH
    quad CASE
    quad DEFAULT
    quad BREAK
    quad CONTINUE
    quad RETURN
    quad SIZEOF
    quad 0

; ---- what is looked for ----

expect:                             ; the word must be rax; look at the next
    cmp rax, [token]
    je next
    mov [expected], rax
    mov [fail_name], expected-NAME_TEXT
    fail "missing"

accept:                             ; ZF: the word is rax, and the next is looked at
    cmp rax, [token]
    jne .no
    call next
    cmp al, al
.no:
    ret

take_name:                          ; rax = the name that must come; look at the next word
    if [token] != NAME goto .none
    push [token_name]
    call next
    pop rax
    ret
.none:
    fail "a name is missing"
