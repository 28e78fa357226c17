; x86: the instructions that cc1 is written in, as asm is to be taught them.
;
; On the left as in "Intel 64 and IA-32 Architectures Software Developer's Manual", volume 2;
; on the right the bytes as that volume gives them. X, Y and Z are holes (see asm.hex1). Of
; two patterns that a line fits the first is taken; so those with the widest holes come last.

; ---- data ----

pattern byte X | X1
pattern long X | X4
pattern quad X | X8
pattern text X | Xs
pattern operator X Y Z | X8 Y8 Z8

; ---- what cc1 says most ----

; Put bytes to the program that is made: call put_code, the number of bytes, the bytes.
pattern put X | e8 >put_code Xh

; End with a message: call fail, the text.
pattern fail X | e8 >fail Xs

; Compare without sign, and jump.
pattern if al = X goto Y             | 3c X1 0f 84 Yr
pattern if al != X goto Y            | 3c X1 0f 85 Yr
pattern if al < X goto Y             | 3c X1 0f 82 Yr
pattern if al <= X goto Y            | 3c X1 0f 86 Yr
pattern if al > X goto Y             | 3c X1 0f 87 Yr
pattern if cl = X goto Y             | 80 f9 X1 0f 84 Yr
pattern if cl != X goto Y            | 80 f9 X1 0f 85 Yr
pattern if dl != X goto Y            | 80 fa X1 0f 85 Yr
pattern if rax = X goto Y            | 48 3d X4 0f 84 Yr
pattern if rax != X goto Y           | 48 3d X4 0f 85 Yr
pattern if rax < X goto Y            | 48 3d X4 0f 82 Yr
pattern if rax > X goto Y            | 48 3d X4 0f 87 Yr
pattern if rax >= X goto Y           | 48 3d X4 0f 83 Yr
pattern if rcx = X goto Y            | 48 81 f9 X4 0f 84 Yr
pattern if rcx != X goto Y           | 48 81 f9 X4 0f 85 Yr
pattern if rcx > X goto Y            | 48 81 f9 X4 0f 87 Yr
pattern if rcx >= X goto Y           | 48 81 f9 X4 0f 83 Yr
pattern if rdx = X goto Y            | 48 81 fa X4 0f 84 Yr
pattern if rdx != X goto Y           | 48 81 fa X4 0f 85 Yr
pattern if rdx < X goto Y            | 48 81 fa X4 0f 82 Yr
pattern if rdx > X goto Y            | 48 81 fa X4 0f 87 Yr
pattern if rbx < X goto Y            | 48 81 fb X4 0f 82 Yr
pattern if rdi > X goto Y            | 48 81 ff X4 0f 87 Yr
pattern if rdi >= X goto Y           | 48 81 ff X4 0f 83 Yr
pattern if [X] = Y goto Z            | 48 81 3c 25 X4 Y4 0f 84 Zr
pattern if [X] != Y goto Z           | 48 81 3c 25 X4 Y4 0f 85 Zr

; ---- instructions without a hole ----

pattern add rax, rbx                 | 48 01 d8
pattern add rbx, rdx                 | 48 01 d3
pattern add rcx, rax                 | 48 01 c1
pattern add rdx, rax                 | 48 01 c2
pattern call rax                     | ff d0
pattern cmp al, al                   | 38 c0
pattern cmp al, cl                   | 38 c8
pattern cmp rax, [rcx]               | 48 3b 01
pattern cmp rax, [rdx]               | 48 3b 02
pattern cmp rax, [rsp]               | 48 3b 04 24
pattern cmp rax, rax                 | 48 39 c0
pattern cmp rax, rbx                 | 48 39 d8
pattern cmp rax, rcx                 | 48 39 c8
pattern cmp rcx, rax                 | 48 39 c1
pattern cmp rdx, rcx                 | 48 39 ca
pattern dec rax                      | 48 ff c8
pattern dec rcx                      | 48 ff c9
pattern dec rdx                      | 48 ff ca
pattern dec rsi                      | 48 ff ce
pattern div rcx                      | 48 f7 f1
pattern imul rcx, rax                | 48 0f af c8
pattern imul rdx, rcx                | 48 0f af d1
pattern inc [rsp]                    | 48 ff 04 24
pattern inc rax                      | 48 ff c0
pattern inc rbx                      | 48 ff c3
pattern inc rdi                      | 48 ff c7
pattern inc rdx                      | 48 ff c2
pattern inc rsi                      | 48 ff c6
pattern jmp rax                      | ff e0
pattern lea rbx, [rax+rax*2]         | 48 8d 1c 40
pattern lea rcx, [rax+rax*2]         | 48 8d 0c 40
pattern lea rcx, [rcx+rcx*2]         | 48 8d 0c 49
pattern mov [r8], rax                | 49 89 00
pattern mov [rax], esi               | 89 30
pattern mov [rbx], rax               | 48 89 03
pattern mov [rcx], rax               | 48 89 01
pattern mov [rdi], al                | 88 07
pattern mov [rdi], eax               | 89 07
pattern mov [rdx], eax               | 89 02
pattern mov [rsi], dl                | 88 16
pattern mov [rsi], edx               | 89 16
pattern mov [rsp], rdx               | 48 89 14 24
pattern mov al, [rbx+rdx]            | 8a 04 13
pattern mov al, [rbx]                | 8a 03
pattern mov al, [rdx]                | 8a 02
pattern mov cl, [rbx]                | 8a 0b
pattern mov cl, [rsi]                | 8a 0e
pattern mov eax, ecx                 | 89 c8
pattern mov ecx, [rax]               | 8b 08
pattern mov ecx, [rsi]               | 8b 0e
pattern mov rax, [r8]                | 49 8b 00
pattern mov rax, [rax]               | 48 8b 00
pattern mov rax, [rbx]               | 48 8b 03
pattern mov rax, rcx                 | 48 89 c8
pattern mov rax, rdx                 | 48 89 d0
pattern mov rbp, [rbx]               | 48 8b 2b
pattern mov rbx, [rsp]               | 48 8b 1c 24
pattern mov rbx, rdi                 | 48 89 fb
pattern mov rbx, rsi                 | 48 89 f3
pattern mov rcx, [r8]                | 49 8b 08
pattern mov rcx, [rbp]               | 48 8b 4d 00
pattern mov rcx, [rbx]               | 48 8b 0b
pattern mov rcx, [rcx]               | 48 8b 09
pattern mov rcx, [rdx]               | 48 8b 0a
pattern mov rcx, [rsp]               | 48 8b 0c 24
pattern mov rcx, rax                 | 48 89 c1
pattern mov rcx, rdx                 | 48 89 d1
pattern mov rdi, [rax]               | 48 8b 38
pattern mov rdi, rax                 | 48 89 c7
pattern mov rdx, [rsi]               | 48 8b 16
pattern mov rdx, [rsp]               | 48 8b 14 24
pattern mov rdx, rbx                 | 48 89 da
pattern mov rdx, rcx                 | 48 89 ca
pattern mov rdx, rsi                 | 48 89 f2
pattern mov rsi, [rcx]               | 48 8b 31
pattern mov rsi, [rsp]               | 48 8b 34 24
pattern mov rsi, rax                 | 48 89 c6
pattern mov rsi, rbx                 | 48 89 de
pattern mov rsi, rcx                 | 48 89 ce
pattern mov rsi, rdx                 | 48 89 d6
pattern movsxd rcx, eax              | 48 63 c8
pattern movzx eax, al                | 0f b6 c0
pattern movzx eax, byte [rbx]        | 0f b6 03
pattern movzx ecx, byte [rsi]        | 0f b6 0e
pattern neg rax                      | 48 f7 d8
pattern neg rcx                      | 48 f7 d9
pattern pop rax                      | 58
pattern pop rbx                      | 5b
pattern pop rcx                      | 59
pattern pop rdx                      | 5a
pattern pop rsi                      | 5e
pattern push rax                     | 50
pattern push rbx                     | 53
pattern push rcx                     | 51
pattern push rdx                     | 52
pattern push rsi                     | 56
pattern rep movsb                    | f3 a4
pattern repe cmpsb                   | f3 a6
pattern ret                          | c3
pattern sub rdx, rsi                 | 48 29 f2
pattern sub rsi, rax                 | 48 29 c6
pattern syscall                      | 0f 05
pattern test al, al                  | 84 c0
pattern test rax, rax                | 48 85 c0
pattern test rbp, rbp                | 48 85 ed
pattern test rcx, rcx                | 48 85 c9
pattern test rdi, rdi                | 48 85 ff
pattern test rdx, rdx                | 48 85 d2
pattern test rsi, rsi                | 48 85 f6
pattern xor eax, eax                 | 31 c0
pattern xor ecx, ecx                 | 31 c9
pattern xor edi, edi                 | 31 ff
pattern xor edx, edx                 | 31 d2
pattern xor esi, esi                 | 31 f6

; ---- memory at a register and a distance ----

pattern cmp rax, [rcx+X]             | 48 3b 81 X4
pattern cmp rdx, [rax+X]             | 48 3b 90 X4
pattern lea r8, [rcx*8+X]            | 4c 8d 04 cd X4
pattern lea rax, [rcx*8+X]           | 48 8d 04 cd X4
pattern lea rax, [rdi+X]             | 48 8d 87 X4
pattern lea rax, [rsp+X]             | 48 8d 84 24 X4
pattern lea rbx, [rbx*8+X]           | 48 8d 1c dd X4
pattern lea rcx, [rcx*8+X]           | 48 8d 0c cd X4
pattern lea rdi, [rax+X]             | 48 8d b8 X4
pattern mov [rax+X], rcx             | 48 89 88 X4
pattern mov [rax+X], rdx             | 48 89 90 X4
pattern mov [rbx+X], rdx             | 48 89 93 X4
pattern mov [rcx+X], rdx             | 48 89 91 X4
pattern mov [rdi+X], al              | 88 87 X4
pattern mov [rdx+X], rax             | 48 89 82 X4
pattern mov [rsi+X], rdx             | 48 89 96 X4
pattern mov [rsp+X], rdx             | 48 89 94 24 X4
pattern mov al, [rbx+X]              | 8a 83 X4
pattern mov rax, [rax+X]             | 48 8b 80 X4
pattern mov rax, [rbp+X]             | 48 8b 85 X4
pattern mov rax, [rbx+X]             | 48 8b 83 X4
pattern mov rax, [rcx+X]             | 48 8b 81 X4
pattern mov rax, [rdx+X]             | 48 8b 82 X4
pattern mov rax, [rsp+X]             | 48 8b 84 24 X4
pattern mov rbp, [rbp+X]             | 48 8b ad X4
pattern mov rbx, [rsp+X]             | 48 8b 9c 24 X4
pattern mov rcx, [rax+X]             | 48 8b 88 X4
pattern mov rdx, [rax+X]             | 48 8b 90 X4
pattern mov rdx, [rbp+X]             | 48 8b 95 X4
pattern mov rdx, [rbx+X]             | 48 8b 93 X4
pattern mov rdx, [rcx+X]             | 48 8b 91 X4
pattern mov rdx, [rsp+X]             | 48 8b 94 24 X4
pattern push [rax+X]                 | ff b0 X4

; ---- memory at an address ----

pattern cmp rax, [X]                 | 48 3b 04 25 X4
pattern cmp rbx, [X]                 | 48 3b 1c 25 X4
pattern cmp rcx, [X]                 | 48 3b 0c 25 X4
pattern cmp rdx, [X]                 | 48 3b 14 25 X4
pattern dec [X]                      | 48 ff 0c 25 X4
pattern inc [X]                      | 48 ff 04 25 X4
pattern mov [X], rax                 | 48 89 04 25 X4
pattern mov [X], rbp                 | 48 89 2c 25 X4
pattern mov [X], rbx                 | 48 89 1c 25 X4
pattern mov [X], rcx                 | 48 89 0c 25 X4
pattern mov [X], rdi                 | 48 89 3c 25 X4
pattern mov [X], rdx                 | 48 89 14 25 X4
pattern mov [X], Y                   | 48 c7 04 25 X4 Y4
pattern mov rax, [X]                 | 48 8b 04 25 X4
pattern mov rbx, [X]                 | 48 8b 1c 25 X4
pattern mov rcx, [X]                 | 48 8b 0c 25 X4
pattern mov rdi, [X]                 | 48 8b 3c 25 X4
pattern mov rdx, [X]                 | 48 8b 14 25 X4
pattern mov rsi, [X]                 | 48 8b 34 25 X4
pattern pop [X]                      | 8f 04 25 X4
pattern push [X]                     | ff 34 25 X4
pattern sub rax, [X]                 | 48 2b 04 25 X4

; ---- numbers and addresses ----

pattern add rax, X                   | 48 05 X4
pattern add rbp, X                   | 48 81 c5 X4
pattern add rbx, X                   | 48 81 c3 X4
pattern add rcx, X                   | 48 81 c1 X4
pattern add rdi, X                   | 48 81 c7 X4
pattern add rdx, X                   | 48 81 c2 X4
pattern add rsi, X                   | 48 81 c6 X4
pattern add rsp, X                   | 48 81 c4 X4
pattern and rax, X                   | 48 25 X4
pattern and rcx, X                   | 48 81 e1 X4
pattern and rdx, X                   | 48 81 e2 X4
pattern call X                       | e8 Xr
pattern cmp rsp, X                   | 48 81 fc X4
pattern jae X                        | 0f 83 Xr
pattern je X                         | 0f 84 Xr
pattern jl X                         | 0f 8c Xr
pattern jle X                        | 0f 8e Xr
pattern jmp X                        | e9 Xr
pattern jne X                        | 0f 85 Xr
pattern mov al, X                    | b0 X1
pattern mov byte [rax], X            | c6 00 X1
pattern mov eax, X                   | b8 X4
pattern mov ecx, X                   | b9 X4
pattern mov edi, X                   | bf X4
pattern mov edx, X                   | ba X4
pattern mov esi, X                   | be X4
pattern mov rax, X                   | 48 c7 c0 X4
pattern mov rbp, X                   | 48 c7 c5 X4
pattern mov rbx, X                   | 48 c7 c3 X4
pattern mov rcx, X                   | 48 c7 c1 X4
pattern mov rdi, X                   | 48 c7 c7 X4
pattern mov rdx, X                   | 48 c7 c2 X4
pattern mov rsi, X                   | 48 c7 c6 X4
pattern or al, X                     | 0c X1
pattern push X                       | 68 X4
pattern shl rax, X                   | 48 c1 e0 X1
pattern shr rax, X                   | 48 c1 e8 X1
pattern shr rcx, X                   | 48 c1 e9 X1
pattern sub al, X                    | 2c X1
pattern sub rax, X                   | 48 2d X4
pattern sub rbx, X                   | 48 81 eb X4
pattern sub rcx, X                   | 48 81 e9 X4
pattern sub rsi, X                   | 48 81 ee X4
pattern xor rax, X                   | 48 35 X4
pattern xor rdx, X                   | 48 81 f2 X4
