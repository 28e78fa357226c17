; 4-statements: types, statements, what stands at file scope.

; ---- types ----

at_type:                            ; ZF: the word begins a type
    mov rax, [token]
    if rax < LONG goto .no
    if rax > STRUCT goto .no
    cmp rax, rax
    ret
.no:
    cmp rsp, 0
    ret

type_name:                          ; rax = the type that is read
    mov rax, [token]
    if rax = STRUCT goto .struct
    push T_LONG
    if rax = LONG goto .base
    pop rcx
    push T_CHAR
    if rax = CHAR goto .base
    pop rcx
    push T_VOID
    if rax = VOID goto .base
    fail "a type is missing"
.base:
    call next
.stars:
    mov eax, '*'
    call accept
    jne .done
    inc [rsp]
    jmp .stars
.done:
    pop rax
    ret
.struct:
    call next
    call struct_name
    shl rax, 8
    push rax
    jmp .stars

struct_name:                        ; rax = the number of the struct whose name is read
    call take_name
    mov rcx, [rax+NAME_STRUCT]
    test rcx, rcx
    jne .known
    mov rcx, [structs_end]
    if rcx >= structs+240000 goto no_memory
    mov rdx, rcx
    add rdx, 24
    mov [structs_end], rdx
    sub rcx, structs
    mov [rax+NAME_STRUCT], rcx
.known:
    mov rax, rcx
    xor edx, edx
    mov ecx, 24
    div rcx
    ret

variable_type:                      ; rax = a type of 8 bytes that is read
    call type_name
    if al = 0 goto .no_star
    ret
.no_star:
    if rax != T_LONG goto .bad
    ret
.bad:
    fail "neither a long nor a pointer"

constant:                           ; rax = the constant that is read: at most one '-'
    mov eax, '-'
    call accept
    je .negative
.positive:
    call primary
    if [kind] != CONSTANT goto .bad
    mov rax, [value]
    ret
.negative:
    call .positive
    neg rax
    ret
.bad:
    fail "not a constant"

; ---- locals ----

; What a local hides is noted in `scopes`, and comes back at the end of the block.

declare_local:                      ; the name rax of the type rdx; its place is `value`
    push rdx
    mov rcx, [scope_start]
.look:
    cmp rcx, [scope_end]
    je .new
    cmp rax, [rcx]
    je twice                        ; in this block
    add rcx, HIDDEN_SIZE
    jmp .look
.new:
    if rcx >= scopes+SCOPE_SIZE goto no_memory
    mov [rcx], rax
    mov rdx, [rax+NAME_KIND]
    mov [rcx+8], rdx
    mov rdx, [rax+NAME_TYPE]
    mov [rcx+16], rdx
    mov rdx, [rax+NAME_VALUE]
    mov [rcx+24], rdx
    add rcx, HIDDEN_SIZE
    mov [scope_end], rcx
    pop rdx
    mov [rax+NAME_TYPE], rdx
    mov rdx, LOCAL
    mov [rax+NAME_KIND], rdx
    mov rdx, [value]
    mov [rax+NAME_VALUE], rdx
    ret

leave_scope:                        ; back to where `scope_end` was rax
    mov rcx, [scope_end]
.next:
    cmp rcx, rax
    je .done
    sub rcx, HIDDEN_SIZE
    mov rsi, [rcx]
    mov rdx, [rcx+8]
    mov [rsi+NAME_KIND], rdx
    mov rdx, [rcx+16]
    mov [rsi+NAME_TYPE], rdx
    mov rdx, [rcx+24]
    mov [rsi+NAME_VALUE], rdx
    jmp .next
.done:
    mov [scope_end], rcx
    ret

local:                              ; TYPE NAME; or TYPE NAME = E;
    call variable_type
    push rax
    call take_name
    pop rdx
    mov rcx, [frame]
    add rcx, 8
    mov [frame], rcx
    cmp rcx, [frame_max]
    jle .fits
    mov [frame_max], rcx
.fits:
    neg rcx
    mov [value], rcx
    call declare_local
    mov [type], rdx
    mov [kind], LOCAL
    if [token] != '=' goto semicolon
    call assign
semicolon:
    mov eax, ';'
    jmp expect

; ---- statements ----

statement:
    mov rax, [token]
    if rax = '{' goto block
    if rax = ';' goto next
    if rax = IF goto if_statement
    if rax = WHILE goto while_statement
    if rax = FOR goto for_statement
    if rax = SWITCH goto switch_statement
    if rax = RETURN goto return_statement
    if rax = BREAK goto break_statement
    if rax = CONTINUE goto continue_statement
    call discard
    jmp semicolon

discard:                            ; an expression for what it does
    call expression
    jmp load                        ; jumps that wait in it must lead somewhere

block:
    push [scope_start]
    push [scope_end]
    push [frame]
    mov rax, [scope_end]
    mov [scope_start], rax
    call next
.next:
    mov eax, '}'
    call accept
    je .end
    call at_type
    je .local
    call statement
    jmp .next
.local:
    call local
    jmp .next
.end:
    pop [frame]
    pop rax
    pop [scope_start]
    jmp leave_scope

condition:                          ; (E); rax = the jumps if it is 0
    mov eax, '('
    call expect
    call expression
    xor eax, eax
    call branch_false
    push rax
    mov eax, ')'
    call expect
    pop rax
    ret

if_statement:
    call next
    call condition
    push rax
    call statement
    mov eax, ELSE
    call accept
    je .else
    pop rax
    jmp resolve_here
.else:
    put e9                          ; over what follows else
    xor eax, eax
    call put_link
    pop rdx
    push rax
    mov rax, rdx
    call resolve_here
    call statement
    pop rax
    jmp resolve_here

; What a loop repeats. Its break and continue wait in `breaks` and `continues`.
enter_loop:
    pop rax
    push [loop]
    push [breakable]
    push [breaks]
    push [continues]
    mov [loop], 1
    mov [breakable], 1
    mov [breaks], 0
    mov [continues], 0
    push rax
    ret
leave_loop:
    pop rax
    pop [continues]
    pop [breaks]
    pop [breakable]
    pop [loop]
    push rax
    ret

while_statement:
    call next
    call enter_loop
    push [code_end]                 ; where it starts again
    call condition
    push rax
    call statement
    pop rcx
    pop rax
    push rcx
    jmp end_loop

for_statement:
    call next
    call enter_loop
    mov eax, '('
    call expect
    if [token] = ';' goto .started
    call discard
.started:
    call semicolon
    push [code_end]                 ; [rsp]: where the condition is
    push 0                          ; [rsp]: the jumps if it is 0
    if [token] = ';' goto .tested
    call expression
    pop rax
    call branch_false
    push rax
.tested:
    call semicolon
    if [token] = ')' goto .no_step
    put e9                          ; over the step
    xor eax, eax
    call put_link
    push rax
    push [code_end]
    call discard
    mov rax, [rsp+24]
    call put_jump                   ; to the condition
    pop rdx
    mov [rsp+16], rdx               ; the loop starts again with the step
    pop rax
    call resolve_here
.no_step:
    mov eax, ')'
    call expect
    call statement
    pop rcx
    pop rax
    push rcx

end_loop:                           ; again from rax; on the stack: the jumps out
    push rax
    call put_jump
    pop rdx
    mov rax, [continues]
    call resolve
    pop rax
    call resolve_here
    mov rax, [breaks]
    call resolve_here
    call leave_loop
    ret

break_statement:
    call next
    if [breakable] = 0 goto .bad
    put e9
    mov rax, [breaks]
    call put_link
    mov [breaks], rax
    jmp semicolon
.bad:
    fail "break stands outside a loop and a switch"

continue_statement:
    call next
    if [loop] = 0 goto .bad
    put e9
    mov rax, [continues]
    call put_link
    mov [continues], rax
    jmp semicolon
.bad:
    fail "continue stands outside a loop"

return_statement:
    call next
    if [token] = ';' goto .leave
    call expression
    call load
.leave:
    put c9 c3                       ; leave; ret
    jmp semicolon

; switch: the value is computed, then come the statements, then a search for the case.

switch_statement:
    call next
    push [breakable]
    push [breaks]
    push [default_place]
    push [cases_end]
    mov [breakable], 1
    mov [breaks], 0
    mov [default_place], 0
    mov eax, '('
    call expect
    call expression
    call load
    mov eax, ')'
    call expect
    put e9                          ; to the search
    xor eax, eax
    call put_link
    push rax
    mov eax, '{'
    call expect
.next:
    mov rax, [token]
    if rax = CASE goto .case
    if rax = DEFAULT goto .default
    if rax = '}' goto .end
    call statement
    jmp .next
.case:
    call next
    call constant
    mov rcx, [cases_end]
    if rcx >= cases+CASES_SIZE goto no_memory
    mov rdx, [rsp+8]                ; the first of its cases
.look:
    cmp rdx, rcx
    je .new
    cmp rax, [rdx]
    je .case_twice
    add rdx, CASE_SIZE
    jmp .look
.new:
    mov [rcx], rax
    mov rdx, [code_end]
    mov [rcx+8], rdx
    add rcx, CASE_SIZE
    mov [cases_end], rcx
    jmp .colon
.case_twice:
    fail "a second case of this value"
.default:
    call next
    if [default_place] != 0 goto .twice
    mov rax, [code_end]
    mov [default_place], rax
.colon:
    mov eax, ':'
    call expect
    jmp .next
.twice:
    fail "a second default"
.end:
    call next
    put e9                          ; over the search
    mov rax, [breaks]
    call put_link
    mov [breaks], rax
    pop rax
    call resolve_here
    mov rbx, [rsp]                  ; the first of its cases
.search:
    cmp rbx, [cases_end]
    je .searched
    mov rax, [rbx]
    movsxd rcx, eax
    cmp rcx, rax
    jne .long
    put 48 3d                       ; cmp rax, number of 32 bits
    call put_4
    jmp .found
.long:
    put 48 b9                       ; mov rcx, number of 64 bits
    call put_4
    mov rax, [rbx]
    shr rax, 32
    call put_4
    put 48 39 c8                    ; cmp rax, rcx
.found:
    put 0f 84                       ; je
    xor eax, eax
    call put_link
    mov rdx, [rbx+8]
    call resolve
    add rbx, CASE_SIZE
    jmp .search
.searched:
    mov rax, [default_place]
    test rax, rax
    je .no_default
    call put_jump
.no_default:
    mov rax, [breaks]
    call resolve_here
    pop [cases_end]
    pop [default_place]
    pop [breaks]
    pop [breakable]
    ret

; ---- file scope ----

file_scope:                         ; one declaration
    mov eax, ENUM
    call accept
    je enum
    if [token] = STRUCT goto .struct
    call type_name
    jmp .typed
.struct:                            ; struct NAME {, struct NAME; or a type
    call next
    call struct_name
    if [token] = ';' goto next
    if [token] = '{' goto struct
    shl rax, 8
    push rax
.stars:
    mov eax, '*'
    call accept
    jne .no_star
    inc [rsp]
    jmp .stars
.no_star:
    pop rax
.typed:
    push rax
    call take_name
    pop rdx
    mov [name], rax
    mov [fail_name], rax
    if [token] = '(' goto function
    mov rcx, [rax+NAME_KIND]
    test rcx, rcx
    jne twice
    mov [rax+NAME_TYPE], rdx
    if [token] = '[' goto array

; A global variable: 8 bytes.
    if dl != 0 goto .pointer
    if rdx != T_LONG goto .bad
.pointer:
    mov rcx, [space]
    mov [rax+NAME_VALUE], rcx
    mov rdx, GLOBAL
    mov [rax+NAME_KIND], rdx
    add rcx, 8
    jmp set_space
.bad:
    fail "neither a long nor a pointer"

twice:
    fail "defined twice"

array:                              ; its name is a constant: the address of the first element
    call next
    call constant
    push rax
    mov eax, ']'
    call expect
    mov rdx, [name]
    mov rax, [rdx+NAME_TYPE]
    if rax = T_VOID goto bad_array
    call size_of
    pop rcx
    if rcx > SPACE_END goto bad_array
    imul rcx, rax
    if rcx > SPACE_END goto bad_array
    mov rax, [space]
    mov [rdx+NAME_VALUE], rax
    add rcx, rax
    mov rax, [rdx+NAME_TYPE]
    inc rax                         ; a pointer to it
    mov [rdx+NAME_TYPE], rax
    mov rax, CONSTANT
    mov [rdx+NAME_KIND], rax
set_space:                          ; the next global lies at rcx
    add rcx, 7
    and rcx, -8
    mov [space], rcx
    if rcx > SPACE_END goto .too_large
    mov [fail_name], 0
    jmp semicolon
.too_large:
    fail "the globals are too large"
bad_array:
    fail "no such array can be"

enum:
    mov eax, '{'
    call expect
    push 0                          ; the next value
.next:
    call take_name
    mov [name], rax
    mov rcx, [rax+NAME_KIND]
    test rcx, rcx
    jne twice
    mov eax, '='
    call accept
    jne .set
    call constant
    pop rcx
    push rax
.set:
    mov rax, [name]
    mov rcx, CONSTANT
    mov [rax+NAME_KIND], rcx
    mov rcx, T_LONG
    mov [rax+NAME_TYPE], rcx
    mov rcx, [rsp]
    mov [rax+NAME_VALUE], rcx
    inc [rsp]
    mov eax, ','
    call accept
    je .more
    pop rax
    mov eax, '}'
    call expect
    jmp semicolon
.more:
    if [token] != '}' goto .next
    pop rax
    call next
    jmp semicolon

struct:                             ; the members of the struct of number rax
    lea rbx, [rax+rax*2]
    lea rbx, [rbx*8+structs]
    mov rax, [rbx+STRUCT_SIZE]
    test rax, rax
    jne twice
    push rbx
    push 0                          ; the size so far
    call next
.next:
    call variable_type
    push rax
    call take_name
    mov [name], rax
    mov edx, MEMBER_SIZE
    call allocate
    pop rdx
    mov [rax+MEMBER_TYPE], rdx
    mov rdx, [name]
    mov [rax+MEMBER_NAME], rdx
    mov rdx, [rsp]
    mov [rax+MEMBER_OFFSET], rdx
    add rdx, 8
    mov [rsp], rdx
    mov rbx, [rsp+8]
    mov rcx, [rbx]                  ; STRUCT_MEMBERS is 0
    mov [rax+MEMBER_NEXT], rcx
    mov [rbx], rax
    call semicolon
    mov eax, '}'
    call accept
    jne .next
    pop rdx
    pop rbx
    mov [rbx+STRUCT_SIZE], rdx
    jmp semicolon

; ---- functions ----

; The caller pushes the arguments from the first to the last, then calls: of n parameters,
; parameter i (from 0) lies at rbp + 8 + 8·(n - i).

function:                           ; the name rax of the result type rdx; '(' is looked at
    mov [result_type], rdx
    if dl != 0 goto .result
    if rdx = T_LONG goto .result
    if rdx != T_VOID goto bad_result
.result:
    push [scope_end]
    mov rcx, [scope_end]
    mov [scope_start], rcx
    push [rax+NAME_KIND]
    push [rax+NAME_COUNT]
    push rax
    call next
    mov [count], 0
    if [token] != VOID goto .parameter
    call type_name                  ; (void), or a void pointer
    if rax = T_VOID goto .parameters_done
    jmp .parameter_type
.parameter:
    call variable_type
.parameter_type:
    push rax
    call take_name
    pop rdx
    inc [count]
    mov rcx, [count]
    mov [value], rcx
    call declare_local
    mov eax, ','
    call accept
    je .parameter
.parameters_done:
    mov eax, ')'
    call expect
    pop rax                         ; the function
    pop rcx                         ; what was known of it
    pop rdx
    mov [fail_name], rax
    test rdx, rdx
    je .new
    if rdx < FUNCTION goto twice
    cmp rcx, [count]
    jne .count_differs
    jmp .known
.new:
    mov rcx, FUNCTION
    cmp rax, [name_syscall]
    jne .set
    mov rcx, SYSCALL
.set:
    mov [rax+NAME_KIND], rcx
    mov rcx, [count]
    mov [rax+NAME_COUNT], rcx
.known:
    mov rcx, [result_type]
    mov [rax+NAME_TYPE], rcx
    if [token] = ';' goto .prototype
    mov rcx, [rax+NAME_VALUE]
    test rcx, rcx
    jne twice
    mov rcx, [code_end]
    mov [rax+NAME_VALUE], rcx
    mov [fail_name], 0

; Now that their number is known, the parameters get their places.
    mov rsi, [rsp]                  ; where scope_end was
    mov rcx, [count]
.place:
    test rcx, rcx
    je .placed
    mov rdx, [rsi]
    lea rax, [rcx*8+8]
    mov [rdx+NAME_VALUE], rax
    add rsi, HIDDEN_SIZE
    dec rcx
    jmp .place
.placed:
    put 55 48 89 e5 48 81 ec        ; push rbp; mov rbp, rsp; sub rsp, what the locals need
    mov rax, [code_end]
    push rax
    call put_4
    mov [frame], 0
    mov [frame_max], 0
    if [token] != '{' goto .no_body
    call block
    put c9 c3                       ; leave; ret
    pop rdx
    mov rax, [frame_max]
    mov [rdx], eax
    pop rax
    jmp leave_scope
.prototype:
    mov [fail_name], 0
    call next
    pop rax
    jmp leave_scope
.no_body:
    fail "neither ; nor { follows a function"
.count_differs:
    fail "another number of parameters than before"
bad_result:
    fail "neither a long, a pointer nor void"
